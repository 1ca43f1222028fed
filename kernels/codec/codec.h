// Encoding and decoding of every stored type, scalar and exact: the definition of each format.
// Faster versions in cpu/ and cuda/ are tested against these.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/dtype.h"
#include "kernels/tensor_view.h"

namespace hone {

// ---- Scalars. All rounding is to nearest, ties to even. Subnormals, infinities and NaN are kept.
float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);
inline float bf16_to_f32(uint16_t bits);
uint16_t f32_to_bf16(float value);
float f8e4m3_to_f32(uint8_t bits);   // "fn": no infinity, NaN = 0x7f / 0xff, largest 448
uint8_t f32_to_f8e4m3(float value);  // beyond 448 saturates; NaN stays NaN
float f8e5m2_to_f32(uint8_t bits);

// ---- Rows of one element type (float scalars, integers as their value, GGUF blocks).
// `count` elements; a multiple of the block.
void decode_row(DType type, const std::byte* row, int64_t count, float* out);

// The reverse, rounding as the format's reference quantizer does. Types that hone can write: F32,
// F16, BF16, F8E4M3, Q8_0, Q4_0, Q4_1 (can_encode says so). F16 overflow becomes infinity.
bool can_encode(DType type);
void encode_row(DType type, const float* values, int64_t count, std::byte* out);

// ---- Packed integers (WeightView::packed_bits; compressed-tensors "pack-quantized").
int64_t packed_row_bytes(int64_t count, int bits);  // rounded up to whole 32-bit words
void pack_row(const int8_t* values, int64_t count, int bits, std::byte* out);  // signed values
void unpack_row(const std::byte* row, int64_t count, int bits, int8_t* out);
// Zero points of [rows, groups] are packed along rows: column g of the result is pack_row of column
// g of `zeros`. packed: [ceil(rows * bits / 32), groups] words.
void pack_zeros(const int8_t* zeros, int64_t rows, int64_t groups, int bits, std::byte* packed);
void unpack_zeros(const std::byte* packed, int64_t rows, int64_t groups, int bits, int8_t* zeros);

// ---- 2:4 sparsity. Two of each four columns are kept. If fewer than two are nonzero, the lowest
// unused positions fill up. Returns false (and writes nothing useful) when a quadruple has three or
// more nonzeros.
bool compress_2_4(const float* dense, int64_t columns, float* kept, std::byte* index);
void expand_2_4(const float* kept, const std::byte* index, int64_t columns, float* dense);

// ---- Bitmasks. Packs a row of a dense matrix of 8- or 16-bit elements, as its view says: the
// mask, and the elements of the columns that are not zero (-0 is; of packed integers, the code of
// 0). Returns how many. kept: room for all columns.
int64_t compress_bitmask(const WeightView& dense, int64_t row, std::byte* kept, std::byte* mask);
// How many that would be.
int64_t count_nonzeros(const WeightView& dense, int64_t row);
// The reverse. `kept` may be the end of `dense`.
void expand_bitmask(const float* kept, const std::byte* mask, int64_t columns, float* dense);

// ---- A row of any WeightView, every rule of tensor_view.h applied. out: [columns].
void decode_weight_row(const WeightView& weight, int64_t row, float* out);

inline float bf16_to_f32(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  static_assert(sizeof value == sizeof wide);
  __builtin_memcpy(&value, &wide, sizeof value);
  return value;
}

}  // namespace hone
