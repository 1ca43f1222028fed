// Any stretch of a weight row as floats, for every storage there is: the way for storages without
// vector code and for the last columns of a row.
#pragma once

#include "kernels/tensor_view.h"

namespace hone::cpu {

// Columns [begin, begin + count) of a row: what decode_weight_row gives there. `begin` must be a
// multiple of 16 and of the block.
void decode_span(const WeightView& weight, int64_t row, int64_t begin, int64_t count, float* out);

// The scale of a group of columns; 1 for a weight without scales.
float scale_of(const WeightView& weight, int64_t row, int64_t group);

}  // namespace hone::cpu
