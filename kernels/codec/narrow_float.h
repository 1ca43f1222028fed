// Floats narrower than 32 bits: [sign | exponent | mantissa] with the same rules as float, so that
// for normal numbers widening is a shift and an added exponent bias. Subnormals (exponent 0, no
// implicit leading 1) are the hard part; both directions let the FPU renormalise or round them with
// one addition (after F. Giesen, "Half-precision floating point in C", 2012). Both cases are always
// computed and one is chosen with a mask: left to themselves, compilers branch around the addition
// (it might trap), and then no loop over these functions vectorises: decoding F16 took 4 times as
// long.
//
// NarrowFloat works on magnitudes (no sign) of numbers; signs, infinities and NaN, where the narrow
// formats differ from each other, are added by the functions below it. All rely on the rounding
// mode that threads start in, to nearest even.
#pragma once

#include <bit>
#include <cstdint>

namespace hone {

inline uint32_t choose(bool condition, uint32_t yes, uint32_t no) {
  return no ^ ((yes ^ no) & (0u - static_cast<uint32_t>(condition)));
}

template <int kExponentBits, int kMantissaBits>
struct NarrowFloat {
  static constexpr uint32_t kBias = (1u << (kExponentBits - 1)) - 1;
  static constexpr uint32_t kShift = 23 - kMantissaBits;
  static constexpr uint32_t kRebias = (127 - kBias) << 23;
  static constexpr uint32_t kLeastNormal = (128 - kBias) << 23;  // as bits of a float

  // Bits of the float with the value of the finite narrow number `magnitude`. Exact.
  static uint32_t widen(uint32_t magnitude) {
    const uint32_t shifted = magnitude << kShift;
    // A subnormal m is m * 2^(1 - bias - mantissa_bits). Read with the exponent of the least normal
    // number it is too large by just that number, thanks to the implicit 1.
    const float subnormal =
        std::bit_cast<float>(shifted + kLeastNormal) - std::bit_cast<float>(kLeastNormal);
    const bool is_normal = magnitude >= (1u << kMantissaBits);
    return choose(is_normal, shifted + kRebias, std::bit_cast<uint32_t>(subnormal));
  }

  // The nearest narrow number to the float with the bits `magnitude`, ties to even. A value beyond
  // the largest narrow one comes out as a larger pattern, in order: the caller clamps.
  static uint32_t narrow(uint32_t magnitude) {
    // Adding half a unit less one, plus one if the kept part is odd, makes ties go to even.
    const uint32_t odd = (magnitude >> kShift) & 1;
    const uint32_t normal = (magnitude - kRebias + (1u << (kShift - 1)) - 1 + odd) >> kShift;
    // The unit in the last place of kMagic is the narrow format's subnormal step, so that the
    // addition rounds to a whole number of steps and leaves it in the low bits.
    constexpr uint32_t kMagic = (128 - kBias + kShift) << 23;
    const float sum = std::bit_cast<float>(magnitude) + std::bit_cast<float>(kMagic);
    return choose(magnitude >= kLeastNormal, normal, std::bit_cast<uint32_t>(sum) - kMagic);
  }
};

using Half = NarrowFloat<5, 10>;   // IEEE binary16
using Float8 = NarrowFloat<4, 3>;  // E4M3 "fn": exponent 15 is ordinary, but for the NaN 0x7f

inline constexpr uint32_t kFloatInfinity = 0x7f800000;

inline float widen_f16(uint16_t bits) {
  const uint32_t sign = (bits & 0x8000u) << 16;
  const uint32_t magnitude = bits & 0x7fffu;
  const uint32_t special = kFloatInfinity | magnitude << 13;  // infinity, or NaN with its payload
  return std::bit_cast<float>(sign | choose(magnitude >= 0x7c00, special, Half::widen(magnitude)));
}

inline uint16_t narrow_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t magnitude = bits & 0x7fffffff;
  const uint32_t rounded = Half::narrow(magnitude);
  const uint32_t number = choose(rounded < 0x7c00, rounded, 0x7c00);  // or infinity
  // NaN turns quiet and keeps the top of its payload, as the F16C instructions do.
  const uint32_t nan = 0x7e00 | ((magnitude >> 13) & 0x3ff);
  const uint32_t rest = choose(magnitude > kFloatInfinity, nan, number);
  return static_cast<uint16_t>((bits >> 16 & 0x8000) | rest);
}

inline uint16_t narrow_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  const uint32_t nan = bits >> 16 | 0x40;
  return static_cast<uint16_t>((bits & 0x7fffffff) > kFloatInfinity ? nan : rounded);
}

inline float widen_f8e4m3(uint8_t bits) {
  const uint32_t sign = (bits & 0x80u) << 24;
  const uint32_t magnitude = bits & 0x7fu;
  const uint32_t wide = choose(magnitude == 0x7f, 0x7fc00000, Float8::widen(magnitude));
  return std::bit_cast<float>(sign | wide);
}

inline uint8_t narrow_f8e4m3(float value) {
  constexpr uint32_t kLargest = 0x43e00000;  // 448
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t magnitude = bits & 0x7fffffff;
  const uint32_t finite = Float8::narrow(choose(magnitude < kLargest, magnitude, kLargest));
  const uint32_t rest = choose(magnitude > kFloatInfinity, 0x7f, finite);
  return static_cast<uint8_t>((bits >> 24 & 0x80) | rest);
}

// E8M0 is the exponent of a float alone: 2^(bits - 127). Half of that, for bits 0 and 1 a
// subnormal; ggml takes 255, OCP's NaN, for a number too.
constexpr float half_of_e8m0(uint8_t bits) {
  return std::bit_cast<float>(bits < 2 ? 0x00200000u << bits : (bits - 1u) << 23);
}

// E5M2 is the upper byte of an IEEE half.
inline float widen_f8e5m2(uint8_t bits) { return widen_f16(static_cast<uint16_t>(bits << 8)); }

}  // namespace hone
