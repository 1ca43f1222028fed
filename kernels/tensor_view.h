// A weight matrix as it is stored, without owning it: what a matmul reads. One struct covers every
// storage: `payload` holds the elements, and three optional side arrays say how to read them.
//
//   value(r, c) = element(r, c)                             plain scalars and GGUF blocks
//   value(r, c) = (element(r, c) - zero(r, g)) * scale(r, g)   with scales, g = c / group
//
// 2:4 sparsity: of each 4 neighbouring columns 2 are kept. The payload then has columns/2 elements
// a row, and `index` holds, for each 4 columns, one nibble: position of the first kept column in
// bits 0-1, of the second in bits 2-3 (first < second); low nibble = the even quadruple. So
// index row = columns/8 bytes, and `columns` is a multiple of 8. Scales keep counting dense
// columns.
//
// Bitmask (unstructured sparsity): `mask` has a bit for each column, the lowest bit of a byte
// first, a row padded to whole words of 64; a column is kept where it is 1, and zero, whatever its
// zero point, where it is 0. The payload is the kept elements, row after row without gaps.
//
//   dense    0  5  0  7  0  0  0  3 | 0  1 ...      row_offsets    0  n0  n0 + n1 ...
//   mask     0x8a                     0x02 ...      payload        5 7 3 1 ... (n0 of row 0, n1
//   ...)
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/check.h"
#include "kernels/dtype.h"

namespace hone {

struct WeightView {
  const std::byte* payload = nullptr;  // row after row, row_stride bytes apart; any alignment
  DType type = DType::kF32;            // of one payload element; for packed integers: kI32 words
  int packed_bits = 0;                 // 0: payload elements are of `type`. 2..8: signed integers
                                       // of so many bits, stored with 2^(bits-1) added, element i
                                       // in bits [bits*i, bits*(i+1)) of the row, LSB first, in
                                       // little-endian 32-bit words (compressed-tensors)
  int64_t rows = 0;                    // outputs
  int64_t columns = 0;                 // inputs, dense count
  int64_t row_stride = 0;              // bytes

  const std::byte* scales = nullptr;  // [scale_rows, columns / group] of scale_type, or null
  DType scale_type = DType::kF32;     // F32, F16 or BF16
  int64_t scale_rows = 0;             // rows, or 1 (per tensor)
  int64_t group = 0;                  // dense columns that share a scale; columns: one per row
  const int8_t* zeros = nullptr;      // [rows, columns / group] signed zero points, or null
  const std::byte* index = nullptr;   // [rows, columns / 8] positions kept, or null: not 2:4

  const std::byte* mask = nullptr;  // [rows, mask_row_bytes()], or null: no bitmask. Elements of
                                    // whole bytes; no index
  const int64_t* row_offsets = nullptr;  // with mask, [rows + 1]: elements before each row; instead
                                         // of row_stride

  const std::byte* tiles = nullptr;  // the same once more, in an order of the backend that placed
                                     // it, or null

  bool quantize_input = false;  // W8A8: each activation row is rounded to int8 (or fp8 where
                                // type is F8E4M3) with its own scale before the product
  bool int8_input = false;      // int8 arithmetic (a choice at run time, not of the file):
                                // each activation row is rounded to int8 in runs of
                                // input_run() columns, a scale each; no effect where
                                // quantize_input is set or input_run() is 0
  bool bf16_input = false;      // likewise: activations are rounded to BF16, to the nearest, of
                                // two the even one, and products summed in f32; no effect on
                                // elements that are not BF16

  int64_t stored_columns() const { return index ? columns / 2 : columns; }
};

// Bytes of a row of a bitmask.
inline int64_t mask_row_bytes(int64_t columns) { return (columns + 63) / 64 * 8; }

// Bytes of some whole elements.
inline int64_t element_bytes(const WeightView& w, int64_t count) {
  return w.packed_bits == 8 ? count : row_bytes(w.type, count);
}

// Bytes of one payload row, where all rows have as many. Packed rows end at a 32-bit word.
inline int64_t payload_row_bytes(const WeightView& w) {
  if (w.packed_bits == 0) return row_bytes(w.type, w.stored_columns());
  return (w.stored_columns() * w.packed_bits + 31) / 32 * 4;
}

// Columns whose activations share a scale under int8_input: a weight's scale is constant in such a
// run (but for integer factors), so that its part of a product is one exact integer times two
// scales. 0: the storage has no integers to multiply. The last run of a row may be shorter.
inline int64_t input_run(const WeightView& w) {
  constexpr int64_t kLongest = 128;
  if (is_block(w.type)) return w.index ? 0 : 32;
  if (w.type != DType::kI8 && w.packed_bits == 0) return 0;
  if (!w.scales || w.group == w.columns) return kLongest;
  for (int64_t run = kLongest; run >= 32; run /= 2) {
    if (w.group % run == 0) return run;
  }
  return 0;
}

// Whether a product rounds its activations in runs.
inline bool rounds_in_runs(const WeightView& w) {
  return w.int8_input && !w.quantize_input && input_run(w) > 0;
}

// Whether a product rounds its activations to BF16.
inline bool rounds_to_bf16(const WeightView& w) {
  return w.bf16_input && w.type == DType::kBF16 && !w.scales && !w.quantize_input;
}

// Bytes a matmul reads for this matrix: the figure behind every "GB/s" that hone prints.
inline int64_t stored_bytes(const WeightView& w) {
  int64_t bytes = w.mask ? element_bytes(w, w.row_offsets[w.rows]) +
                               w.rows * mask_row_bytes(w.columns) +
                               (w.rows + 1) * static_cast<int64_t>(sizeof(int64_t))
                         : w.rows * payload_row_bytes(w);
  if (w.scales) bytes += w.scale_rows * (w.columns / w.group) * row_bytes(w.scale_type, 1);
  if (w.zeros) bytes += w.rows * (w.columns / w.group);
  if (w.index) bytes += w.rows * w.columns / 8;
  return bytes;
}

}  // namespace hone
