// A row of a WeightView as floats: elements, then places (2:4, bitmask), then zero points and
// scales. Done in place in `out`, without a buffer of its own. One rounding per value: the product
// with the scale.
#include <algorithm>

#include "kernels/check.h"
#include "kernels/codec/codec.h"

namespace hone {
namespace {

// Integers unpacked at a time; a multiple of 8, so that every chunk starts at a whole byte.
constexpr int64_t kChunk = 256;

void decode_packed(const std::byte* row, int64_t count, int bits, float* out) {
  int8_t integers[kChunk];
  for (int64_t begin = 0; begin < count; begin += kChunk) {
    const int64_t n = std::min(kChunk, count - begin);
    unpack_row(row + begin / 8 * bits, n, bits, integers);
    std::copy_n(integers, n, out + begin);
  }
}

float scale_at(const WeightView& w, int64_t i) {
  float scale;
  decode_row(w.scale_type, w.scales + row_bytes(w.scale_type, i), 1, &scale);
  return scale;
}

void apply_scales(const WeightView& w, int64_t row, float* values) {
  const int64_t groups = w.columns / w.group;
  const int64_t scale_row = w.scale_rows == 1 ? 0 : row;
  for (int64_t g = 0; g < groups; ++g) {
    const float scale = scale_at(w, scale_row * groups + g);
    const float zero = w.zeros ? w.zeros[row * groups + g] : 0;
    float* of_group = values + g * w.group;
    for (int64_t c = 0; c < w.group; ++c) of_group[c] = (of_group[c] - zero) * scale;
  }
}

// Columns that are not kept are zero whatever the zero point says.
void clear_dropped(const std::byte* index, int64_t columns, float* values) {
  for (int64_t q = 0; q < columns / 4; ++q) {
    const unsigned nibble = std::to_integer<unsigned>(index[q / 2]) >> q % 2 * 4;
    const unsigned kept = 1u << (nibble & 3) | 1u << (nibble >> 2 & 3);
    for (int p = 0; p < 4; ++p) {
      if ((kept >> p & 1) == 0) values[4 * q + p] = 0;
    }
  }
}

void clear_unmasked(const std::byte* mask, int64_t columns, float* values) {
  for (int64_t c = 0; c < columns; ++c) {
    if ((std::to_integer<unsigned>(mask[c / 8]) >> c % 8 & 1) == 0) values[c] = 0;
  }
}

// The stored elements of a row, without places and scales.
void decode_elements(const WeightView& w, const std::byte* payload, int64_t count, float* out) {
  if (w.packed_bits != 0) return decode_packed(payload, count, w.packed_bits, out);
  decode_row(w.type, payload, count, out);
}

void check_scales(const WeightView& w) {
  CHECK(w.scales != nullptr);
  CHECK(w.scale_type == DType::kF32 || w.scale_type == DType::kF16 || w.scale_type == DType::kBF16);
  CHECK(w.scale_rows == 1 || w.scale_rows == w.rows);
  CHECK(w.group > 0 && w.columns % w.group == 0);
}

}  // namespace

void decode_weight_row(const WeightView& weight, int64_t row, float* out) {
  CHECK(row >= 0 && row < weight.rows);
  CHECK(weight.index == nullptr || (weight.columns % 8 == 0 && weight.mask == nullptr));
  const int64_t* const offsets = weight.row_offsets ? weight.row_offsets + row : nullptr;
  const std::byte* const mask =
      weight.mask ? weight.mask + row * mask_row_bytes(weight.columns) : nullptr;
  const std::byte* const index = weight.index ? weight.index + row * (weight.columns / 8) : nullptr;
  const std::byte* const payload =
      weight.payload + (mask ? element_bytes(weight, offsets[0]) : row * weight.row_stride);
  const int64_t stored = mask ? offsets[1] - offsets[0] : weight.stored_columns();
  float* elements = out + (weight.columns - stored);  // the end of out, then expanded
  decode_elements(weight, payload, stored, elements);
  if (index != nullptr) expand_2_4(elements, index, weight.columns, out);
  if (mask != nullptr) expand_bitmask(elements, mask, weight.columns, out);
  if (weight.scales == nullptr) {
    CHECK(weight.zeros == nullptr);
    return;
  }
  check_scales(weight);
  apply_scales(weight, row, out);
  if (index != nullptr) clear_dropped(index, weight.columns, out);
  if (mask != nullptr) clear_unmasked(mask, weight.columns, out);
}

}  // namespace hone
