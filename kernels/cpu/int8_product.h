// The product of a matrix of integers with int8 activations, whatever its storage: plain types, so
// that the kernels, which take long to compile, have units of their own (int8_kernels-inl.h).
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/cpu/cpu_ops.h"

namespace hone::cpu {

// The product of one matrix, with the memory that a thread needs for it.
class Int8Product {
 public:
  virtual ~Int8Product() = default;
  // Rows [row, row + count) times tokens [first, first + tokens), where first is a multiple of
  // kInt8Tokens: out[t * stride + r], with room for whole panels of 2 * kLanes rows and whole
  // blocks of kInt8Tokens.
  virtual void multiply(int64_t row, int64_t count, const Int8Tokens& x, int64_t first,
                        int64_t tokens, float* out, int64_t stride) = 0;
};

struct Int8Kernel {
  int per_byte = 0;
  int64_t row_tile_columns = 0;  // takes TokenOrder::kTileQuads where a run has so many, or twice
  // For rows up to end_row and `tokens` in all. Null: there is none.
  std::unique_ptr<Int8Product> (*make)(const WeightView&, int64_t end_row,
                                       int64_t tokens) = nullptr;
};

}  // namespace hone::cpu
