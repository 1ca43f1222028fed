// One GGUF block to floats and back; rows.cpp walks rows with these. Internal to codec/.
#pragma once

#include "kernels/formats.h"

namespace hone {

// out: as many floats as the block has elements.
#define X(name) void decode_block(const Block##name& block, float* out);
FOR_EACH_FORMAT(X)
#undef X

// values: 32 floats.
void encode_block(const float* values, BlockQ8_0& out);
void encode_block(const float* values, BlockQ4_0& out);
void encode_block(const float* values, BlockQ4_1& out);

}  // namespace hone
