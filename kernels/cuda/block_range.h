// GGUF's blocks with a minimum, whose values are placed as F16 (weights.h): whether it can hold
// them.
#pragma once

#include <map>
#include <tuple>

#include "kernels/parallel.h"
#include "kernels/tensor_view.h"

namespace hone::cuda {

// The answer decides how much memory a matrix takes, so that it is wanted before the device has
// seen it, and again as it is placed: all blocks are read once, by all threads. Knows matrices by
// where they lie, and must not outlive them.
class BlockRange {
 public:
  explicit BlockRange(ThreadPool& pool) : pool_(pool) {}
  bool fits_f16(const WeightView& host);

 private:
  using Matrix = std::tuple<const std::byte*, int64_t, int64_t>;

  ThreadPool& pool_;
  std::map<Matrix, bool> known_;
};

}  // namespace hone::cuda
