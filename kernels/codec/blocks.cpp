// GGUF blocks: decoding of all, encoding of Q8_0, Q4_0 and Q4_1.
//
// Decoding is exact but for one rounding: an f16 scale (11 bits) times a sub-block scale (8 bits or
// fewer) times a quant (6 bits or fewer; 8 where the scale has no more than 5) fits the 24 bits of
// a float, so only adding the minimum rounds. Any order of evaluation, fused or not, therefore
// gives these same floats.
//
// Encoding follows ggml's reference quantizers (ggml-quants.c, quantize_row_*_ref) operation by
// operation, including what they do by accident on x86 with values that are not finite: the bytes
// in a file must not depend on which program wrote it.
#include "kernels/codec/blocks.h"

#include <cmath>
#include <limits>

#include "kernels/codec/narrow_float.h"

namespace hone {
namespace {

int low(uint8_t byte) { return byte & 15; }
int high(uint8_t byte) { return byte >> 4; }

// Bit i of a little-endian bit string.
int bit(const uint8_t* bytes, int i) { return bytes[i / 8] >> (i % 8) & 1; }

// The 6-bit scale and minimum of sub-block b in the twelve bytes of Q4_K and Q5_K.
struct ScaleMin {
  int scale;
  int min;
};

ScaleMin scale_min(const uint8_t (&s)[12], int b) {
  if (b < 4) return {s[b] & 63, s[b + 4] & 63};
  return {low(s[b + 4]) | (s[b - 4] >> 6) << 4, high(s[b + 4]) | (s[b] >> 6) << 4};
}

// 32 elements: j and j + 16 in byte j.
void look_up(const int8_t (&table)[16], const uint8_t* nibbles, float scale, float* out) {
  for (int j = 0; j < 16; ++j) {
    out[j] = static_cast<float>(table[low(nibbles[j])]) * scale;
    out[j + 16] = static_cast<float>(table[high(nibbles[j])]) * scale;
  }
}

// C's cast, but with a value for what does not fit: 0, which is what x86 makes of it after
// narrowing to 8 bits. Arises from NaN, infinities, and blocks so small that 1 / d overflows.
int truncate(float value) { return static_cast<int>(std::abs(value) < 256.0f ? value : 0.0f); }

// roundf, half away from zero. The addend is the float below one half: with one half itself, the
// sum for 0.49999997 would round up to 1.
int round_half_away(float value) { return truncate(value + std::copysign(0x1.fffffep-2f, value)); }

int at_most_15(int value) { return value < 15 ? value : 15; }

float inverse(float d) { return d != 0 ? 1.0f / d : 0.0f; }

uint8_t two_nibbles(int low, int high) { return static_cast<uint8_t>(low | high << 4); }

}  // namespace

void decode_block(const BlockQ8_0& block, float* out) {
  const float d = widen_f16(block.d);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(block.q[i]) * d;
}

void decode_block(const BlockQ4_0& block, float* out) {
  const float d = widen_f16(block.d);
  for (int j = 0; j < 16; ++j) {
    out[j] = static_cast<float>(low(block.nibbles[j]) - 8) * d;
    out[j + 16] = static_cast<float>(high(block.nibbles[j]) - 8) * d;
  }
}

void decode_block(const BlockQ4_1& block, float* out) {
  const float d = widen_f16(block.d);
  const float m = widen_f16(block.m);
  for (int j = 0; j < 16; ++j) {
    out[j] = static_cast<float>(low(block.nibbles[j])) * d + m;
    out[j + 16] = static_cast<float>(high(block.nibbles[j])) * d + m;
  }
}

void decode_block(const BlockQ5_0& block, float* out) {
  const float d = widen_f16(block.d);
  for (int j = 0; j < 16; ++j) {
    const int first = low(block.nibbles[j]) | bit(block.high_bits, j) << 4;
    const int second = high(block.nibbles[j]) | bit(block.high_bits, j + 16) << 4;
    out[j] = static_cast<float>(first - 16) * d;
    out[j + 16] = static_cast<float>(second - 16) * d;
  }
}

void decode_block(const BlockQ5_1& block, float* out) {
  const float d = widen_f16(block.d);
  const float m = widen_f16(block.m);
  for (int j = 0; j < 16; ++j) {
    const int first = low(block.nibbles[j]) | bit(block.high_bits, j) << 4;
    const int second = high(block.nibbles[j]) | bit(block.high_bits, j + 16) << 4;
    out[j] = static_cast<float>(first) * d + m;
    out[j + 16] = static_cast<float>(second) * d + m;
  }
}

void decode_block(const BlockQ4_K& block, float* out) {
  const float d = widen_f16(block.d);
  const float dmin = widen_f16(block.dmin);
  for (int b = 0; b < 8; ++b) {
    const ScaleMin sub = scale_min(block.scales, b);
    const float scale = d * static_cast<float>(sub.scale);
    const float min = dmin * static_cast<float>(sub.min);
    const uint8_t* run = block.nibbles + b / 2 * 32;
    const int shift = b % 2 * 4;
    for (int l = 0; l < 32; ++l) {
      out[32 * b + l] = scale * static_cast<float>(run[l] >> shift & 15) - min;
    }
  }
}

void decode_block(const BlockQ5_K& block, float* out) {
  const float d = widen_f16(block.d);
  const float dmin = widen_f16(block.dmin);
  for (int b = 0; b < 8; ++b) {
    const ScaleMin sub = scale_min(block.scales, b);
    const float scale = d * static_cast<float>(sub.scale);
    const float min = dmin * static_cast<float>(sub.min);
    const uint8_t* run = block.nibbles + b / 2 * 32;
    const int shift = b % 2 * 4;
    for (int l = 0; l < 32; ++l) {
      const int q = (run[l] >> shift & 15) | (block.high_bits[l] >> b & 1) << 4;
      out[32 * b + l] = scale * static_cast<float>(q) - min;
    }
  }
}

void decode_block(const BlockQ6_K& block, float* out) {
  const float d = widen_f16(block.d);
  for (int b = 0; b < 16; ++b) {  // sub-blocks of 16; two of them are a run
    const int half = b / 8;
    const int g = b / 2 % 4;
    const uint8_t* nibbles = block.nibbles + 64 * half + 32 * (g % 2) + 16 * (b % 2);
    const uint8_t* pairs = block.high_pairs + 32 * half + 16 * (b % 2);
    const float scale = d * static_cast<float>(block.scales[b]);
    for (int k = 0; k < 16; ++k) {
      const int q = (nibbles[k] >> g / 2 * 4 & 15) | (pairs[k] >> 2 * g & 3) << 4;
      out[16 * b + k] = scale * static_cast<float>(q - 32);
    }
  }
}

void decode_block(const BlockIQ4_NL& block, float* out) {
  look_up(kNonLinear, block.nibbles, widen_f16(block.d), out);
}

void decode_block(const BlockIQ4_XS& block, float* out) {
  const float d = widen_f16(block.d);
  for (int b = 0; b < 8; ++b) {
    const float scale = d * static_cast<float>(block.factor(b));
    look_up(kNonLinear, block.nibbles + 16 * b, scale, out + 32 * b);
  }
}

void decode_block(const BlockMXFP4& block, float* out) {
  look_up(kDoubledFp4, block.nibbles, half_of_e8m0(block.e), out);
}

void encode_block(const float* values, BlockQ8_0& out) {
  float largest = 0;
  for (int i = 0; i < 32; ++i) {
    const float magnitude = std::abs(values[i]);
    largest = largest > magnitude ? largest : magnitude;
  }
  const float d = largest / 127;
  const float scale = inverse(d);
  out.d = narrow_f16(d);
  for (int i = 0; i < 32; ++i) out.q[i] = static_cast<int8_t>(round_half_away(values[i] * scale));
}

// d takes the sign that maps the value of largest magnitude to -8, the end of the range that has
// no counterpart. A block of zeros gets d = -0.0, as in ggml.
void encode_block(const float* values, BlockQ4_0& out) {
  float largest = 0;
  float extreme = 0;
  for (int i = 0; i < 32; ++i) {
    if (largest < std::abs(values[i])) {
      largest = std::abs(values[i]);
      extreme = values[i];
    }
  }
  const float d = extreme / -8;
  const float scale = inverse(d);
  out.d = narrow_f16(d);
  for (int j = 0; j < 16; ++j) {
    const int first = at_most_15(truncate(values[j] * scale + 8.5f));
    const int second = at_most_15(truncate(values[j + 16] * scale + 8.5f));
    out.nibbles[j] = two_nibbles(first, second);
  }
}

void encode_block(const float* values, BlockQ4_1& out) {
  float min = std::numeric_limits<float>::max();
  float max = -std::numeric_limits<float>::max();
  for (int i = 0; i < 32; ++i) {
    if (values[i] < min) min = values[i];
    if (values[i] > max) max = values[i];
  }
  const float d = (max - min) / 15;
  const float scale = inverse(d);
  out.d = narrow_f16(d);
  out.m = narrow_f16(min);
  for (int j = 0; j < 16; ++j) {
    const int first = at_most_15(truncate((values[j] - min) * scale + 0.5f));
    const int second = at_most_15(truncate((values[j + 16] - min) * scale + 0.5f));
    out.nibbles[j] = two_nibbles(first, second);
  }
}

}  // namespace hone
