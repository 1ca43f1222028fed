// GGUF's blocks taken apart, for placing (weights.h): the integers of a row and the scales that
// make values of them.
#pragma once

#include "kernels/tensor_view.h"

namespace hone::cuda {

// Q8_0, Q4_0, Q5_0, Q6_K, IQ4_NL, IQ4_XS, MXFP4: the signed integers of `count` elements.
void codes_of_blocks(DType type, const std::byte* row, int64_t count, int8_t* out);
// The scales of `groups` groups of 32 of them (Q6_K: 16): F16, or F32 for Q6_K, IQ4_XS and MXFP4.
void scales_of_blocks(DType type, const std::byte* row, int64_t groups, std::byte* out);

// The formats with a minimum, whose values are placed: whether F16 can hold those of a matrix.
bool blocks_fit_f16(const WeightView& host);

}  // namespace hone::cuda
