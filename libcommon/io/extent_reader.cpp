#include "libcommon/io/extent_reader.h"

#include <algorithm>

#include "kernels/check.h"
#include "libcommon/base/error.h"

namespace hone {
namespace {

// Still in the core's cache after it was read; larger than a pipe's buffer, or every byte would
// pass through that.
constexpr size_t kHashedPiece = size_t{256} << 10;

}  // namespace

std::string ExtentReader::take_hash() {
  const std::string text = hash_->hex();
  hash_.reset();
  return text;
}

bool ExtentReader::mapped() const {
  return std::all_of(sources_.begin(), sources_.end(),
                     [](const auto& source) { return source->map() != nullptr; });
}

// The source has ended; `position` is where.
void ExtentReader::fail_early(uint64_t position) const {
  const uint64_t inside = position > current_.begin ? position - current_.begin : 0;
  throw Error(current_source().subject() + ": ends inside " + current_.what + " (" +
              std::to_string(inside) + " of " + std::to_string(current_.bytes) + " bytes); " +
              current_source().cause_of_early_end());
}

void ExtentReader::pass(uint64_t count) {
  ByteSource& source = current_source();
  if (!hash_) {
    if (source.skip(count) < count) fail_early(source.position());
    return;
  }
  if (source.map()) {  // whoever passes over a file's tensors computes from the map
    const std::byte* const from = source.map() + source.position();
    if (source.skip(count) < count) fail_early(source.position());
    hash_->update({from, static_cast<size_t>(count)});
    return;
  }
  std::vector<std::byte> buffer(static_cast<size_t>(std::min<uint64_t>(count, kHashedPiece)));
  while (count > 0) {
    const auto step =
        std::span(buffer).first(static_cast<size_t>(std::min<uint64_t>(count, buffer.size())));
    if (source.read(step) < step.size()) fail_early(source.position());
    hash_->update(step);
    count -= step.size();
  }
}

void ExtentReader::leave() {
  const uint64_t end = current_.begin + current_.bytes;
  if (current_source().position() < end) pass(end - current_source().position());
}

void ExtentReader::enter(const Extent& extent) {
  // Padding that is missing counts as missing from what follows it.
  if (extent.source == current_.source) leave();
  current_ = extent;
  CHECK(current_source().position() <= extent.begin);
  pass(extent.begin - current_source().position());
}

void ExtentReader::read(std::span<std::byte> out) {
  ByteSource& source = current_source();
  CHECK(source.position() - current_.begin + out.size() <= current_.bytes);
  const size_t largest = hash_ ? kHashedPiece : out.size();
  while (!out.empty()) {
    const std::span<std::byte> piece = out.first(std::min(out.size(), largest));
    if (source.read(piece) < piece.size()) fail_early(source.position());
    if (hash_) hash_->update(piece);
    out = out.subspan(piece.size());
  }
}

std::string ExtentReader::read_text() {
  std::string text = read_growing(current_source(), current_.bytes);
  if (text.size() < current_.bytes) fail_early(current_source().position());
  if (hash_) hash_->update(std::as_bytes(std::span(text)));
  return text;
}

void ExtentReader::check_end(const std::string& last) {
  for (const auto& source : sources_) {
    if (source->size() || source->peek(1).empty()) continue;  // files were checked when opened
    throw Error(source->subject() + ": has bytes behind " + last + "; two streams joined?");
  }
}

void ExtentReader::read_at(const Extent& extent, int64_t offset, std::span<std::byte> out) {
  CHECK(offset >= 0 && static_cast<uint64_t>(offset) + out.size() <= extent.bytes);
  ByteSource& source = *sources_[extent.source];
  const size_t got = source.read_at(extent.begin + static_cast<uint64_t>(offset), out);
  if (got < out.size()) {
    throw Error(source.subject() + ": ends inside " + extent.what + "; was the file cut?");
  }
}

const std::byte* ExtentReader::map(const Extent& extent) const {
  const std::byte* start = sources_[extent.source]->map();
  return start ? start + extent.begin : nullptr;
}

}  // namespace hone
