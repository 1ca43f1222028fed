#include "libcommon/run/text_stream.h"

#include <algorithm>
#include <utility>

namespace hone {
namespace {

// Bytes at the end of `text` that are a proper beginning of `stop`.
size_t overlap(std::string_view text, std::string_view stop) {
  for (size_t n = std::min(text.size(), stop.size() - 1); n > 0; --n) {
    if (text.substr(text.size() - n) == stop.substr(0, n)) return n;
  }
  return 0;
}

}  // namespace

StopFilter::StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase(stops_, std::string());
}

std::string StopFilter::push(std::string_view text) {
  if (stopped_) return {};
  held_ += text;
  size_t first = std::string::npos;
  size_t hold = 0;
  for (const std::string& stop : stops_) {
    first = std::min(first, held_.find(stop));
    hold = std::max(hold, overlap(held_, stop));
  }
  stopped_ = first != std::string::npos;
  const size_t cut = stopped_ ? first : held_.size() - hold;
  std::string shown = held_.substr(0, cut);
  held_.erase(0, cut);
  return shown;
}

std::string StopFilter::flush() {
  if (stopped_) return {};
  return std::exchange(held_, {});
}

TextStream::TextStream(const Tokenizer& tokenizer, std::span<const int32_t> prompt,
                       std::vector<std::string> stops)
    : decoder_(tokenizer, /*skip_special=*/true), filter_(std::move(stops)) {
  for (int32_t id : prompt) decoder_.push(id);
}

std::string TextStream::push(int32_t id) { return filter_.push(decoder_.push(id)); }

std::string TextStream::flush() {
  std::string text = filter_.push(decoder_.flush());
  return text + filter_.flush();
}

}  // namespace hone
