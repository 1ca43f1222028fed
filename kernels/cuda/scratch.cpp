#include "kernels/cuda/scratch.h"

#include <algorithm>

#include "kernels/cuda/runtime.h"
#include "kernels/no_memory.h"

namespace hone::cuda {

size_t Scratch::end_count() {
  counts_ = false;
  return most_ > bytes_ ? block_for(most_) : 0;
}

// Doubled, so that what is left behind is less than what is used.
size_t Scratch::block_for(size_t bytes) const { return std::max(bytes, 2 * bytes_); }

std::byte* Scratch::reserve(size_t bytes) {
  if (counts_) {
    most_ = std::max(most_, bytes);
    return no_memory<std::byte>();
  }
  if (bytes > bytes_ || blocks_.empty()) {
    const size_t grown = block_for(bytes);
    blocks_.push_back(static_cast<std::byte*>(allocate_zeroed(grown)));
    bytes_ = grown;
  }
  return blocks_.back();
}

Scratch::~Scratch() {
  for (std::byte* block : blocks_) release_device(block);
}

}  // namespace hone::cuda
