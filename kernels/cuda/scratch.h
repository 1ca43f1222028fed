// Memory that kernels of one op hand to each other.
#pragma once

#include <cstddef>
#include <vector>

namespace hone::cuda {

// What was given out stays valid until the backend closes, because recorded steps (runtime.h) keep
// its address: a larger request leaves the smaller block behind.
class Scratch {
 public:
  // At least so many bytes, 256-byte aligned, contents undefined; the same memory for each call
  // that fits. Zeroed when first given out.
  std::byte* reserve(size_t bytes);
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();

 private:
  std::vector<std::byte*> blocks_;
  size_t bytes_ = 0;  // of the last
};

}  // namespace hone::cuda
