#include "libcommon/model/weight_memory.h"

#include <algorithm>
#include <new>

#include "kernels/check.h"
#include "kernels/host_memory.h"
#include "libcommon/base/error.h"
#include "libcommon/base/log.h"

namespace hone {
namespace {
constexpr int64_t kLeastStretch = int64_t{8} << 20;
}  // namespace

void WeightMemory::Release::operator()(std::byte* memory) const { release_host(memory); }

void WeightMemory::reserve(int64_t bytes, const std::string& subject) {
  left_ = bytes;
  if (bytes < kLeastStretch) return;
  try {
    stretch_.reset(static_cast<std::byte*>(allocate_host(static_cast<size_t>(bytes))));
  } catch (const std::bad_alloc&) {
    throw resource_error(subject + ": no memory for " + human_bytes(static_cast<double>(bytes)));
  }
  next_ = stretch_.get();
}

std::byte* WeightMemory::take(int64_t bytes) {
  left_ -= padded(bytes);
  CHECK(left_ >= 0);
  if (!stretch_) {
    const auto size = static_cast<size_t>(std::max<int64_t>(bytes, 1));
    small_.emplace_back(static_cast<std::byte*>(allocate_host(size)));
    return small_.back().get();
  }
  std::byte* const place = next_;
  next_ += padded(bytes);
  return place;
}

}  // namespace hone
