// What a lane of 32 bits holds, of a row of weights as of a token, and how two of them multiply:
// one column in f32, or two neighbouring columns in BF16, as they lie in memory. Whatever else
// makes up a product (dot-inl.h, tile-inl.h) is the same for both: a matrix of pairs is one of half
// as many columns. Compiled per target.
#if defined(HONE_CPU_LANE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_LANE_INL_H_
#undef HONE_CPU_LANE_INL_H_
#else
#define HONE_CPU_LANE_INL_H_
#endif

#include "kernels/cpu/decode-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

struct FloatLane {
  static HWY_INLINE Floats multiply_add(Floats weights, Floats tokens, Floats sums) {
    return hn::MulAdd(weights, tokens, sums);
  }
};

#if HWY_TARGET == HWY_AVX3
// Twice the multiply-adds of f32 on Zen 4, as many on Sapphire Rapids. Subnormal numbers, also
// sums, count as zero. Only where Context::bf16_products.
struct PairLane {
  static HWY_INLINE Floats multiply_add(Floats weights, Floats tokens, Floats sums) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(sums.raw) : "v"(weights.raw), "v"(tokens.raw));
    return sums;
  }
};
#else
using PairLane = FloatLane;  // never chosen
#endif

// A matrix whose rows can be read as pairs, and how: as floats, half as many.
inline bool has_pairs(const WeightView& w) {
  return rounds_to_bf16(w) && !w.index && !w.mask && w.columns % 2 == 0;
}

inline WeightView pairs_of(const WeightView& w) {
  WeightView pairs = w;
  pairs.type = DType::kF32;
  pairs.columns = w.columns / 2;
  return pairs;
}

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
