// GGUF's quantized blocks as they lie in a file: one packed struct per format, byte for byte.
//
// A block stores a fixed run of neighbouring elements of one row as small integers plus the scale
// (and minimum) they share. Two families:
//   legacy, 32 elements: one f16 scale d, for the _1 kinds also an f16 minimum m
//   "K", 256 elements: eight or sixteen sub-blocks, each with a small integer scale of its own, and
//   one f16 d (and dmin) above them all: half the scale bits for the same adaptivity
// Of either size there are formats whose nibbles are not the integers themselves, but places in a
// table of sixteen.
// In the drawings a number in [] is the byte offset and i an element's place in its block. Every
// f16 is held as its bits (codec.h converts). Blocks have alignment 1: a mapped file may put them
// anywhere. Source: ggml (ggml-common.h), https://github.com/ggml-org/ggml.
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/dtype.h"

namespace hone {

static_assert(std::endian::native == std::endian::little,
              "hone reads weights where they lie, and every format it reads is little-endian");

// One row per block format: the DType is k##name, the struct Block##name.
#define FOR_EACH_FORMAT(X) \
  X(Q8_0)                  \
  X(Q4_0)                  \
  X(Q4_1)                  \
  X(Q5_0)                  \
  X(Q5_1)                  \
  X(Q4_K)                  \
  X(Q5_K)                  \
  X(Q6_K)                  \
  X(IQ4_NL)                \
  X(IQ4_XS)                \
  X(MXFP4)

#pragma pack(push, 1)

// value(i) = q[i] * d
//   [0] d   [2] q0 q1 ... q31
struct BlockQ8_0 {
  uint16_t d;
  int8_t q[32];
};

// Nibbles of all 32-element formats: byte j holds element j low and element j + 16 high.
//
// value(i) = (nibble(i) - 8) * d
//   [0] d   [2] 16|0 17|1 ... 31|15    (high|low)
struct BlockQ4_0 {
  uint16_t d;
  uint8_t nibbles[16];
};

// value(i) = nibble(i) * d + m
//   [0] d   [2] m   [4] 16|0 17|1 ... 31|15
struct BlockQ4_1 {
  uint16_t d;
  uint16_t m;
  uint8_t nibbles[16];
};

// value(i) = ((nibble(i) | high(i) << 4) - 16) * d, high(i) = bit i%8 of high_bits[i/8]
//   [0] d   [2] high bits of 0-7, 8-15, 16-23, 24-31   [6] 16|0 17|1 ... 31|15
struct BlockQ5_0 {
  uint16_t d;
  uint8_t high_bits[4];
  uint8_t nibbles[16];
};

// value(i) = (nibble(i) | high(i) << 4) * d + m
//   [0] d   [2] m   [4] high bits   [8] 16|0 17|1 ... 31|15
struct BlockQ5_1 {
  uint16_t d;
  uint16_t m;
  uint8_t high_bits[4];
  uint8_t nibbles[16];
};

// Eight sub-blocks of 32; sub-block b has a 6-bit scale s(b) and a 6-bit minimum m(b):
//   value(i) = d * s(b) * nibble(i) - dmin * m(b),  b = i / 32
//   [0] d   [2] dmin   [4] twelve bytes, bits 7..0:
//     byte 0..3   s(4+k) bits 5-4 | s(k)             k = byte
//     byte 4..7   m(4+k) bits 5-4 | m(k)             k = byte - 4
//     byte 8..11  m(4+k) bits 3-0 | s(4+k) bits 3-0  k = byte - 8
//   [16] four runs of 32 bytes; run p: byte l holds element 64p + l low, 64p + 32 + l high
struct BlockQ4_K {
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];
  uint8_t nibbles[128];
};

// As Q4_K with a fifth bit: value(i) = d * s(b) * (nibble(i) | high(i) << 4) - dmin * m(b)
//   [0] d   [2] dmin   [4] scales as Q4_K   [16] byte l, bit b: high bit of element 32b + l
//   [48] nibbles as Q4_K
struct BlockQ5_K {
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];
  uint8_t high_bits[32];
  uint8_t nibbles[128];
};

// Sixteen sub-blocks of 16 with a signed 8-bit scale each, no minimum:
//   value(i) = d * scales[i / 16] * ((low(i) | high(i) << 4) - 32)
// The block is two halves of 128; a half is four runs g of 32 (l = i % 32):
//   [0]   64 bytes a half: byte 32 * (g % 2) + l holds runs 0 and 1 low, runs 2 and 3 high
//   [128] 32 bytes a half: byte l, bits 2g and 2g + 1: the high bits of run g
//   [192] sixteen scales   [208] d
struct BlockQ6_K {
  uint8_t nibbles[128];
  uint8_t high_pairs[64];
  int8_t scales[16];
  uint16_t d;
};

// What the nibbles of IQ4_NL and IQ4_XS stand for: steps that widen with the magnitude, as weights
// thin out.
inline constexpr int8_t kNonLinear[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

// value(i) = kNonLinear[nibble(i)] * d
//   [0] d   [2] 16|0 17|1 ... 31|15
struct BlockIQ4_NL {
  uint16_t d;
  uint8_t nibbles[16];
};

// Eight sub-blocks of 32 with a factor f(b) of six bits each:
//   value(i) = d * (f(b) - 32) * kNonLinear[nibble(i)],  b = i / 32
//   [0] d   [2] bits 2b and 2b + 1: bits 5-4 of f(b)   [4] nibble b: bits 3-0 of f(b)
//   [8] sixteen bytes a sub-block: byte j holds element 32b + j low, 32b + 16 + j high
struct BlockIQ4_XS {
  uint16_t d;
  uint16_t high_factors;
  uint8_t low_factors[4];
  uint8_t nibbles[128];

  constexpr int factor(int b) const {  // f(b) - 32
    return ((low_factors[b / 2] >> b % 2 * 4 & 15) | (high_factors >> 2 * b & 3) << 4) - 32;
  }
};

// The values of FP4 (E2M1: sign, two bits of exponent, one of mantissa), doubled.
inline constexpr int8_t kDoubledFp4[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// OCP's microscaling format: value(i) = kDoubledFp4[nibble(i)] * 2^(e - 128)
//   [0] e   [1] 16|0 17|1 ... 31|15
struct BlockMXFP4 {
  uint8_t e;
  uint8_t nibbles[16];
};

#pragma pack(pop)

#define X(name)                                                           \
  static_assert(sizeof(Block##name) == info(DType::k##name).block_bytes); \
  static_assert(alignof(Block##name) == 1);
FOR_EACH_FORMAT(X)
#undef X

}  // namespace hone
