#include "kernels/cuda/scratch.h"

#include <algorithm>

#include "kernels/cuda/runtime.h"

namespace hone::cuda {

// Doubled, so that what is left behind is less than what is used.
std::byte* Scratch::reserve(size_t bytes) {
  if (bytes > bytes_ || blocks_.empty()) {
    const size_t grown = std::max(bytes, 2 * bytes_);
    blocks_.push_back(static_cast<std::byte*>(allocate_zeroed(grown)));
    bytes_ = grown;
  }
  return blocks_.back();
}

Scratch::~Scratch() {
  for (std::byte* block : blocks_) release_device(block);
}

}  // namespace hone::cuda
