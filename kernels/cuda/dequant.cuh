// Stored elements to 16-bit floats, in registers. Whole numbers of 8 and fewer bits and E4M3 are
// exact in f16, so that nothing is lost before the tensor cores multiply.
//
// The trick for integers: an f16 with the exponent of 1024 has a unit in its last place of 1, so
// that or-ing n < 1024 into the mantissa makes 1024 + n without a conversion; one packed
// subtraction takes 1024, the code's own offset and the zero point away, exactly. (M. Kim et al.,
// "Who Says Elephants Can't Run", 2022.)
#pragma once

#include "kernels/simt/device.h"

namespace hone::cuda {

// Elements as matrix products read them: weights.h.
enum class Form {
  kF16,
  kBF16,
  kI8,
  kI4,
  kF8,
  kSparseF16,
  kSparseBF16,
  kSparseI8,
  kSparseI4,
  kSparseF8
};

constexpr bool is_sparse(Form form) { return form >= Form::kSparseF16; }  // 2:4
constexpr bool is_brain(Form form) { return form == Form::kBF16 || form == Form::kSparseBF16; }

constexpr int segment_columns(Form form) {  // of 64 bytes of a row
  if (form == Form::kSparseI4) return 256;
  if (form == Form::kI4 || form == Form::kSparseI8 || form == Form::kSparseF8) return 128;
  return form == Form::kF16 || form == Form::kBF16 ? 32 : 64;
}

// What to take away from codes, as f16x2.
struct CodeOffset {
  uint32_t low;   // 1024 + offset + zero
  uint32_t high;  // int4: -(64 + offset + zero)
};

__device__ __forceinline__ uint32_t both_halves(simt::f16 value) { return value.raw * 0x00010001u; }

template <Form F>
__device__ __forceinline__ CodeOffset code_offset(float zero) {
  constexpr float kStoredOffset = F == Form::kI4 || F == Form::kSparseI4 ? 8 : 128;
  return {both_halves(simt::f16(1024 + kStoredOffset + zero)),
          both_halves(simt::f16(-(64 + kStoredOffset + zero)))};
}

// Codes q + 8 of a word: pairs of elements (0, 4), (1, 5).
__device__ __forceinline__ void decode_four_i4(uint32_t word, CodeOffset offset,
                                               uint32_t (&out)[2]) {
  constexpr uint32_t k1024 = 0x64006400, kSixteenth = 0x2c002c00;
  out[0] = simt::f16x2_sub(simt::and_or(word, 0x000f000f, k1024), offset.low);
  out[1] = simt::f16x2_fma(simt::and_or(word, 0x00f000f0, k1024), kSixteenth, offset.high);
}

// All eight: pairs (0, 4), (1, 5), (2, 6), (3, 7).
__device__ __forceinline__ void decode_i4(uint32_t word, CodeOffset offset, uint32_t (&out)[4]) {
#pragma unroll
  for (int i = 0; i < 4; i += 2) {
    uint32_t pairs[2];
    decode_four_i4(word >> 4 * i, offset, pairs);
    out[i] = pairs[0];
    out[i + 1] = pairs[1];
  }
}

// Four int8 of a word: pairs of elements (0, 2), (1, 3).
__device__ __forceinline__ void decode_i8(uint32_t word, CodeOffset offset, uint32_t (&out)[2]) {
  constexpr uint32_t k1024And128 = 0x64806480;  // q + 128 is q with its sign bit turned
  out[0] = simt::f16x2_sub(simt::and_xor(word, 0x00ff00ff, k1024And128), offset.low);
  out[1] = simt::f16x2_sub(simt::and_xor(word >> 8, 0x00ff00ff, k1024And128), offset.low);
}

// Four E4M3 of a word: pairs of elements (0, 1), (2, 3).
__device__ __forceinline__ void decode_f8(uint32_t word, uint32_t (&out)[2]) {
  out[0] = simt::f16x2_from_f8(word);
  out[1] = simt::f16x2_from_f8(word >> 16);
}

}  // namespace hone::cuda
