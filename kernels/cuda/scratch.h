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
  // From here on reserve() takes nothing and gives no memory's address, up to end_count(): what it
  // would have taken for the largest request.
  void begin_count() {
    counts_ = true;
    most_ = 0;
  }
  size_t end_count();
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();

 private:
  size_t block_for(size_t bytes) const;

  std::vector<std::byte*> blocks_;
  size_t bytes_ = 0;  // of the last
  bool counts_ = false;
  size_t most_ = 0;  // asked for meanwhile
};

}  // namespace hone::cuda
