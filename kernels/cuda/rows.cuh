// How kernels that treat each row of a matrix alike are cut: one thread for kWidth neighbouring
// elements, whole blocks for a row.
#pragma once

#include "kernels/simt/device.h"

namespace hone::cuda {

inline constexpr int kRowThreads = 256;

inline bool aligned16(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

// Blocks of kRowThreads for a row of `dim`, `width` elements a thread.
inline unsigned blocks_per_row(int64_t dim, int width) {
  return static_cast<unsigned>((dim + int64_t{kRowThreads} * width - 1) / (kRowThreads * width));
}

// The row and the first column of this thread.
struct RowPlace {
  int64_t row, column;
};
__device__ __forceinline__ RowPlace row_place(unsigned blocks_of_row, int width) {
  const unsigned row = blockIdx.x / blocks_of_row;
  const unsigned part = blockIdx.x - row * blocks_of_row;
  return {row, (int64_t{part} * kRowThreads + threadIdx.x) * width};
}

}  // namespace hone::cuda
