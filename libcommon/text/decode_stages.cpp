// The stages' work; what each means is said at its declaration.
#include "libcommon/text/decode_stages.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <vector>

#include "libcommon/base/utf8.h"
#include "libcommon/text/byte_chars.h"
#include "libcommon/text/unicode.h"

namespace hone {
namespace {

// The byte of a token "<0xNN>".
std::optional<char> byte_of(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  unsigned value = 0;
  const char* const end = token.data() + 5;
  const auto result = std::from_chars(token.data() + 3, end, value, 16);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return static_cast<char>(value);
}

}  // namespace

void ByteLevelStage::token(std::string_view text) {
  const auto bytes = bytes_of_chars(text);
  pending_.append(bytes ? std::string_view(*bytes) : text);
  emit_whole(false);
}

void ByteLevelStage::emit_whole(bool last) {
  std::string out;
  size_t at = 0;
  while (at < pending_.size()) {
    const Utf8Char next = utf8_char(pending_, at);
    if (next.truncated && !last) break;
    out.append(next.valid ? std::string_view(pending_).substr(at, next.length) : kReplacement);
    at += next.length;
  }
  pending_.erase(0, at);
  if (!out.empty()) next_.text(out);
}

void ByteLevelStage::finish() {
  emit_whole(true);
  next_.end_token();
  next_.finish();
}

void ReplaceStage::token(std::string_view text) {
  std::vector<Span> matches;
  pattern_.find_all(text, matches);
  std::string out;
  size_t copied = 0;
  for (const Span& match : matches) {
    out.append(text.substr(copied, match.begin - copied)).append(content_);
    copied = match.end;
  }
  emit(out.append(text.substr(copied)));
}

void ByteFallbackStage::token(std::string_view text) {
  if (const auto byte = byte_of(text)) {
    run_.push_back(*byte);
    return;
  }
  end_run();
  emit(text);
}

void ByteFallbackStage::end_run() {
  if (run_.empty()) return;
  if (is_utf8(run_)) {
    emit(run_);
  } else {
    for (size_t i = 0; i < run_.size(); ++i) emit(kReplacement);
  }
  run_.clear();
}

void ByteFallbackStage::finish() {
  end_run();
  next_.finish();
}

StripStage::StripStage(DecodeStage& next, char32_t content, int64_t start, int64_t stop)
    : next_(next), start_(start), stop_(stop), to_strip_(start) {
  append_utf8(content_, content);
}

void StripStage::text(std::string_view part) {
  while (to_strip_ > 0 && part.starts_with(content_)) {
    part.remove_prefix(content_.size());
    --to_strip_;
  }
  if (part.empty()) return;
  to_strip_ = 0;
  std::string_view body = part;  // without the copies at its end
  int64_t copies = 0;
  while (copies < stop_ && body.ends_with(content_)) {
    body.remove_suffix(content_.size());
    ++copies;
  }
  if (!body.empty()) {
    release(held_);
    next_.text(body);
  }
  held_ += copies;
  if (held_ > stop_) release(held_ - stop_);
}

void StripStage::release(int64_t copies) {
  for (int64_t i = 0; i < copies; ++i) next_.text(content_);
  held_ -= copies;
}

void StripStage::end_token() {
  held_ = 0;
  to_strip_ = start_;
  next_.end_token();
}

MetaspaceStage::MetaspaceStage(DecodeStage& next, char32_t mark, bool prefixed)
    : WholeTokenStage(next), prefixed_(prefixed) {
  append_utf8(mark_, mark);
}

void MetaspaceStage::token(std::string_view text) {
  const std::string_view replacement = first_ && prefixed_ ? "" : " ";
  first_ = false;
  std::string out;
  size_t copied = 0;
  for (size_t at = text.find(mark_); at != std::string_view::npos; at = text.find(mark_, copied)) {
    out.append(text.substr(copied, at - copied)).append(replacement);
    copied = at + mark_.size();
  }
  emit(out.append(text.substr(copied)));
}

void MetaspaceStage::finish() {
  first_ = true;
  next_.finish();
}

void JoinStage::token(std::string_view text) {
  if (!first_) next_.text(" ");
  first_ = false;
  emit(text);
}

void JoinStage::finish() {
  first_ = true;
  next_.finish();
}

}  // namespace hone
