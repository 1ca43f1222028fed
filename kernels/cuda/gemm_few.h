// Products of tens of tokens by weights of 8 and 4 bits, which are decoded in registers
// (gemm_few.cu).
#pragma once

#include "kernels/cuda/products.h"

namespace hone::cuda {

// Beyond so many tokens it is faster to decode a matrix first; or, of F16 and BF16, to leave it to
// the library.
inline constexpr int64_t kFewTokens = 256;
inline constexpr int64_t kFewTokensOfFloats = 64;
// Whether gemm_few can do it.
bool suits_gemm_few(const Context& context, const Product& product);
void gemm_few(Context& context, const Product& product);

}  // namespace hone::cuda
