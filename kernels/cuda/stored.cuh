// Elements of a matrix as files store them, read one by one: what place.cu makes placed rows of.
// The formats are drawn in kernels/formats.h and kernels/tensor_view.h, and defined by
// kernels/codec, with which tests compare.
//
//   value(i) = (code(i) - zero) * scale       integers and fp8: scales and zero points lie beside
//   value(i) = code(i) * factor + minimum     blocks: both of the block, or of its part with i
#pragma once

#include "kernels/codec/narrow_float.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/formats.h"

namespace hone::cuda {

// Rows in device memory.
struct StoredRows {
  const std::byte* payload;
  const std::byte* index;  // of 2:4 rows that become dense; null: elements are where they are
  const int8_t* zeros;     // or null
  int64_t row_stride;
  int64_t columns;
  int64_t group;
  uint32_t type;  // a DType; no byte here is padding, which kernel arguments should not have
  uint32_t packed_bits;
};

// ---- Blocks.

// Of 32 elements: byte j has element j low, j + 16 high.
__device__ __forceinline__ int nibble_of_32(const uint8_t* bytes, uint32_t i) {
  return bytes[i % 16] >> i / 16 * 4 & 15;
}
// Of 256, in runs of 64: byte l has element l low, l + 32 high.
__device__ __forceinline__ int nibble_of_256(const uint8_t* bytes, uint32_t i) {
  return bytes[i / 64 * 32 + i % 32] >> i / 32 % 2 * 4 & 15;
}
// Of 32: bit i.
__device__ __forceinline__ int fifth_bit(const uint8_t* bits, uint32_t i) {
  return (bits[i / 8] >> i % 8 & 1) << 4;
}

// Eight of a table's bytes as a number, a constant of the code: the host's arrays are not there.
constexpr uint64_t half_of(const int8_t (&table)[16], int half) {
  uint64_t bytes = 0;
  for (int i = 0; i < 8; ++i) {
    bytes |= uint64_t{static_cast<uint8_t>(table[8 * half + i])} << 8 * i;
  }
  return bytes;
}
__device__ __forceinline__ int non_linear(int i) {
  constexpr uint64_t kLow = half_of(kNonLinear, 0), kHigh = half_of(kNonLinear, 1);
  return static_cast<int8_t>((i < 8 ? kLow : kHigh) >> i % 8 * 8);
}
__device__ __forceinline__ int doubled_fp4(int i) {
  constexpr uint64_t kLow = half_of(kDoubledFp4, 0), kHigh = half_of(kDoubledFp4, 1);
  return static_cast<int8_t>((i < 8 ? kLow : kHigh) >> i % 8 * 8);
}

// The code of element i.
__device__ __forceinline__ int code_of(const BlockQ8_0& b, uint32_t i) { return b.q[i]; }
__device__ __forceinline__ int code_of(const BlockQ4_0& b, uint32_t i) {
  return nibble_of_32(b.nibbles, i) - 8;
}
__device__ __forceinline__ int code_of(const BlockQ4_1& b, uint32_t i) {
  return nibble_of_32(b.nibbles, i);
}
__device__ __forceinline__ int code_of(const BlockQ5_0& b, uint32_t i) {
  return (nibble_of_32(b.nibbles, i) | fifth_bit(b.high_bits, i)) - 16;
}
__device__ __forceinline__ int code_of(const BlockQ5_1& b, uint32_t i) {
  return nibble_of_32(b.nibbles, i) | fifth_bit(b.high_bits, i);
}
__device__ __forceinline__ int code_of(const BlockQ4_K& b, uint32_t i) {
  return nibble_of_256(b.nibbles, i);
}
__device__ __forceinline__ int code_of(const BlockQ5_K& b, uint32_t i) {
  return nibble_of_256(b.nibbles, i) | (b.high_bits[i % 32] >> i / 32 & 1) << 4;
}
__device__ __forceinline__ int code_of(const BlockQ6_K& b, uint32_t i) {
  const uint32_t half = i / 128, run = i / 32 % 4, l = i % 32;
  const int low = b.nibbles[64 * half + 32 * (run % 2) + l] >> run / 2 * 4 & 15;
  return (low | (b.high_pairs[32 * half + l] >> 2 * run & 3) << 4) - 32;
}
__device__ __forceinline__ int code_of(const BlockIQ4_NL& b, uint32_t i) {
  return non_linear(nibble_of_32(b.nibbles, i));
}
__device__ __forceinline__ int code_of(const BlockIQ4_XS& b, uint32_t i) {
  return non_linear(nibble_of_32(b.nibbles + i / 32 * 16, i % 32));
}
__device__ __forceinline__ int code_of(const BlockMXFP4& b, uint32_t i) {
  return doubled_fp4(nibble_of_32(b.nibbles, i));
}

struct BlockScale {
  float factor;
  float minimum = 0;
};

__device__ __forceinline__ float f16_value(uint16_t bits) {
  return simt::detail::f16_to_float(bits);
}

// Q4_K and Q5_K: products of 11 bits and 6 are exact.
template <class KBlock>
__device__ __forceinline__ BlockScale scale_of_k(const KBlock& b, uint32_t part) {
  const uint8_t* const s = b.scales;
  const uint32_t k = part % 4;
  const bool first = part < 4;
  const int scale = first ? s[k] & 63 : (s[8 + k] & 15) | s[k] >> 6 << 4;
  const int minimum = first ? s[4 + k] & 63 : s[8 + k] >> 4 | s[4 + k] >> 6 << 4;
  return {f16_value(b.d) * static_cast<float>(scale),
          -(f16_value(b.dmin) * static_cast<float>(minimum))};
}

// The scale of element i.
template <class Block>
__device__ __forceinline__ BlockScale scale_of(const Block& b, uint32_t) {
  return {f16_value(b.d)};
}
__device__ __forceinline__ BlockScale scale_of(const BlockQ4_1& b, uint32_t) {
  return {f16_value(b.d), f16_value(b.m)};
}
__device__ __forceinline__ BlockScale scale_of(const BlockQ5_1& b, uint32_t) {
  return {f16_value(b.d), f16_value(b.m)};
}
__device__ __forceinline__ BlockScale scale_of(const BlockQ4_K& b, uint32_t i) {
  return scale_of_k(b, i / 32);
}
__device__ __forceinline__ BlockScale scale_of(const BlockQ5_K& b, uint32_t i) {
  return scale_of_k(b, i / 32);
}
__device__ __forceinline__ BlockScale scale_of(const BlockQ6_K& b, uint32_t i) {
  return {f16_value(b.d) * static_cast<float>(b.scales[i / 16])};
}
__device__ __forceinline__ BlockScale scale_of(const BlockIQ4_XS& b, uint32_t i) {
  return {f16_value(b.d) * static_cast<float>(b.factor(static_cast<int>(i / 32)))};
}
__device__ __forceinline__ BlockScale scale_of(const BlockMXFP4& b, uint32_t) {
  return {half_of_e8m0(b.e)};
}

// f(block, place in it) for element i of a row of blocks.
template <class Result, class F>
__device__ __forceinline__ Result in_block(uint32_t type, const std::byte* row, uint32_t i, F f) {
  switch (static_cast<DType>(type)) {
#define X(name)                                                                        \
  case DType::k##name: {                                                               \
    constexpr uint32_t kElements = info(DType::k##name).block_elements;                \
    return f(reinterpret_cast<const Block##name*>(row)[i / kElements], i % kElements); \
  }
    FOR_EACH_FORMAT(X)
#undef X
    default:
      return Result{};
  }
}

// ---- All.

// Where the element of a column is stored.
inline constexpr uint32_t kDropped = ~0u;  // nowhere: 2:4, and not kept
__device__ __forceinline__ uint32_t stored_place(const StoredRows& from, int64_t row,
                                                 uint32_t column) {
  if (!from.index) return column;
  const auto two = static_cast<uint32_t>(from.index[row * (from.columns / 8) + column / 8]);
  const uint32_t positions = two >> column / 4 % 2 * 4, kept = column / 4 * 2;
  if (column % 4 == (positions & 3)) return kept;
  return column % 4 == (positions >> 2 & 3) ? kept + 1 : kDropped;
}

__device__ __forceinline__ int zero_of(const StoredRows& from, int64_t row, uint32_t column) {
  return from.zeros[row * (from.columns / from.group) + column / from.group];
}

// Element i of a row of packed integers.
__device__ __forceinline__ int packed_code(const std::byte* row, uint32_t i, uint32_t width) {
  const auto* const bytes = reinterpret_cast<const uint8_t*>(row) + i * width / 8;
  const uint32_t shift = i * width % 8;
  uint32_t bits = bytes[0];
  if (shift + width > 8) bits |= bytes[1] << 8;
  return static_cast<int>(bits >> shift & ((1u << width) - 1)) - (1 << (width - 1));
}

// The code of stored element i: of fp8, its bits.
__device__ __forceinline__ int stored_code(const StoredRows& from, int64_t row, uint32_t i) {
  const std::byte* const payload = from.payload + row * from.row_stride;
  if (from.packed_bits != 0) return packed_code(payload, i, from.packed_bits);
  const auto type = static_cast<DType>(from.type);
  if (type == DType::kI8 || type == DType::kF8E4M3) return static_cast<int8_t>(payload[i]);
  return in_block<int>(from.type, payload, i,
                       [](const auto& block, uint32_t at) { return code_of(block, at); });
}

// The scale of stored element i of a block.
__device__ __forceinline__ BlockScale stored_scale(const StoredRows& from, int64_t row,
                                                   uint32_t i) {
  return in_block<BlockScale>(from.type, from.payload + row * from.row_stride, i,
                              [](const auto& block, uint32_t at) { return scale_of(block, at); });
}

}  // namespace hone::cuda
