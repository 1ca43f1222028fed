// The part of convert.h that deals with GGUF blocks.
#pragma once

#include "kernels/convert.h"

namespace hone {

// narrow_and_compare for Q8_0, Q4_0, Q4_1.
RowError narrow_blocks_and_compare(DType type, const float* values, int64_t count, std::byte* out);

}  // namespace hone
