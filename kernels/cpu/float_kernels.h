// Which functions multiply and decode a storage of floats, or of anything as floats: plain types,
// so that the kernels, which take long to compile, have a unit of their own (float_kernels.cpp).
#pragma once

#include <cstdint>

#include "kernels/tensor_view.h"

namespace hone::cpu {

// Tokens and the sums that they have with some rows.
struct FewTokens {
  const float* x;
  int64_t x_stride;
  float* sums;  // sums[t * sum_stride + r]
  int64_t sum_stride;
};

using DotFunction = void (*)(const WeightView&, int64_t row, const FewTokens&);

struct FloatKernels {
  void (*decode)(const WeightView&, int64_t row, int64_t begin, int64_t end, float* out);
  DotFunction dot_one = nullptr;   // one row, one token; null: there is none of these
  DotFunction dot_rows = nullptr;  // kRows rows, one token
  DotFunction stream = nullptr;    // kStreamRows rows, one token; null: memory is no limit
  DotFunction few_one = nullptr;   // one row, kFewTokens tokens; null: one after the other
  DotFunction few_rows = nullptr;  // kRows rows, kFewTokens tokens
};

}  // namespace hone::cpu
