// Scalar decoding of a stretch of a row, on top of codec.
#include "kernels/cpu/span.h"

#include <algorithm>

#include "kernels/codec/codec.h"

namespace hone::cpu {
namespace {

constexpr int64_t kPiece = 256;  // elements unpacked at a time; a multiple of 8

void decode_packed(const std::byte* row, int64_t count, int bits, float* out) {
  int8_t integers[kPiece];
  for (int64_t i = 0; i < count; i += kPiece) {
    const int64_t n = std::min(kPiece, count - i);
    unpack_row(row + i / 8 * bits, n, bits, integers);
    std::copy_n(integers, n, out + i);
  }
}

// Kept elements [begin, begin + count) without scales.
void decode_elements(const WeightView& w, int64_t row, int64_t begin, int64_t count, float* out) {
  const std::byte* const payload =
      w.payload + (w.mask ? element_bytes(w, w.row_offsets[row]) : row * w.row_stride);
  if (w.packed_bits == 0) return decode_row(w.type, payload + row_bytes(w.type, begin), count, out);
  decode_packed(payload + begin / 8 * w.packed_bits, count, w.packed_bits, out);
}

void apply_scales(const WeightView& w, int64_t row, int64_t begin, int64_t count, float* values) {
  for (int64_t c = begin; c < begin + count;) {
    const int64_t group = c / w.group;
    const int64_t end = std::min((group + 1) * w.group, begin + count);
    const float scale = scale_of(w, row, group);
    const float zero = w.zeros ? w.zeros[row * (w.columns / w.group) + group] : 0;
    for (; c < end; ++c) values[c - begin] = (values[c - begin] - zero) * scale;
  }
}

// Columns that are not kept are zero whatever the zero point says.
void clear_dropped(const std::byte* index, int64_t count, float* values) {
  for (int64_t q = 0; q < count / 4; ++q) {
    const unsigned nibble = std::to_integer<unsigned>(index[q / 2]) >> q % 2 * 4;
    const unsigned kept = 1u << (nibble & 3) | 1u << (nibble >> 2 & 3);
    for (int p = 0; p < 4; ++p) {
      if ((kept >> p & 1) == 0) values[4 * q + p] = 0;
    }
  }
}

bool masked(const std::byte* mask, int64_t c) {
  return (std::to_integer<unsigned>(mask[c / 8]) >> c % 8 & 1) != 0;
}

// The same of a matrix with a bitmask. Its elements are of whole bytes, so they may begin anywhere.
void decode_masked(const WeightView& w, int64_t row, int64_t begin, int64_t count, float* out) {
  const std::byte* const mask = w.mask + row * mask_row_bytes(w.columns);
  int64_t before = 0;
  for (int64_t c = 0; c < begin; ++c) before += masked(mask, c);
  int64_t kept = 0;
  for (int64_t c = begin; c < begin + count; ++c) kept += masked(mask, c);
  WeightView rest = w;  // from the first of them on
  rest.payload += element_bytes(w, before);
  float* const elements = out + count - kept;  // expand_bitmask allows the end of its output
  decode_elements(rest, row, 0, kept, elements);
  expand_bitmask(elements, mask + begin / 8, count, out);
  if (!w.scales) return;
  apply_scales(w, row, begin, count, out);
  for (int64_t c = begin; c < begin + count; ++c) {
    if (!masked(mask, c)) out[c - begin] = 0;
  }
}

}  // namespace

float scale_of(const WeightView& w, int64_t row, int64_t group) {
  if (!w.scales) return 1;
  const int64_t i = (w.scale_rows == 1 ? 0 : row) * (w.columns / w.group) + group;
  float scale;
  decode_row(w.scale_type, w.scales + row_bytes(w.scale_type, i), 1, &scale);
  return scale;
}

void decode_span(const WeightView& w, int64_t row, int64_t begin, int64_t count, float* out) {
  if (w.index) {
    const std::byte* const index = w.index + row * (w.columns / 8) + begin / 8;
    float* const kept = out + count / 2;  // expand_2_4 allows the second half of its output
    decode_elements(w, row, begin / 2, count / 2, kept);
    expand_2_4(kept, index, count, out);
    if (!w.scales) return;
    apply_scales(w, row, begin, count, out);
    clear_dropped(index, count, out);
    return;
  }
  if (w.mask) return decode_masked(w, row, begin, count, out);
  decode_elements(w, row, begin, count, out);
  if (w.scales) apply_scales(w, row, begin, count, out);
}

}  // namespace hone::cpu
