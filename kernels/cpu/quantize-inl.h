// Activations rounded to the grid of int8 or fp8, still as floats. Compiled per target.
#if defined(HONE_CPU_QUANTIZE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_QUANTIZE_INL_H_
#undef HONE_CPU_QUANTIZE_INL_H_
#else
#define HONE_CPU_QUANTIZE_INL_H_
#endif

#include <algorithm>
#include <bit>
#include <limits>

#include "hwy/highway.h"
#include "kernels/cpu/activation-inl.h"
#include "kernels/tensor_view.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// NaN or infinity if there is any in x, else the largest magnitude: without its sign, a float's
// bits compare as an integer, and those two come last.
inline float largest_magnitude(const float* x, int64_t count) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  constexpr int32_t kNoSign = 0x7fffffff;
  auto largest = hn::Zero(di);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto bits = hn::BitCast(di, hn::LoadU(d, x + i));
    largest = hn::Max(largest, hn::And(bits, hn::Set(di, kNoSign)));
  }
  int32_t result = hn::GetLane(hn::MaxOfLanes(di, largest));
  for (; i < count; ++i) result = std::max(result, std::bit_cast<int32_t>(x[i]) & kNoSign);
  return std::bit_cast<float>(result);
}

// Divisor of a token: amax / 127.5 for int8, amax / 448 for fp8 (the rule of compressed-tensors);
// NaN where a value is not finite, because no integer can stand for it.
inline float token_step(const float* x, int64_t count, bool fp8) {
  const float step = largest_magnitude(x, count) / (fp8 ? 448.0f : 127.5f);
  if (!(std::abs(step) <= std::numeric_limits<float>::max())) {
    return std::numeric_limits<float>::quiet_NaN();
  }
  return step == 0 ? std::numeric_limits<float>::epsilon() : step;
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V round_int8(D d, V v) {
  return hn::Min(hn::Max(hn::Round(v), hn::Set(d, -128.0f)), hn::Set(d, 127.0f));
}

// To the nearest E4M3 value, ties to even, saturating. Normal numbers keep three bits of mantissa;
// below 2^-6 the steps are 2^-9, which is the unit in the last place of 2^14.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V round_fp8(D d, V v) {
  const hn::RebindToUnsigned<D> du;
  const V magnitude = hn::Min(hn::Abs(v), hn::Set(d, 448.0f));
  const auto bits = hn::BitCast(du, magnitude);
  const auto odd = hn::And(hn::ShiftRight<20>(bits), hn::Set(du, 1));
  const auto up = hn::Add(hn::Add(bits, hn::Set(du, 0x7ffff)), odd);
  const V normal = hn::BitCast(d, hn::And(up, hn::Set(du, 0xfff00000)));
  const V magic = hn::Set(d, 16384.0f);
  const V small = hn::Sub(hn::Add(magnitude, magic), magic);
  const auto is_small = hn::Lt(magnitude, hn::Set(d, 0.015625f));
  return hn::CopySign(hn::IfThenElse(is_small, small, normal), v);
}

// Rounds a token to the grid, still as floats: out * step is what is multiplied. A token with a NaN
// step becomes zeros.
inline void round_token(const float* x, int64_t count, float step, bool fp8, float* out) {
  if (!(step > 0)) {
    std::fill_n(out, count, 0.0f);
    return;
  }
  transform1(x, out, count, [step, fp8](auto d, auto v) {
    const auto scaled = hn::Div(v, hn::Set(d, step));
    return fp8 ? round_fp8(d, scaled) : round_int8(d, scaled);
  });
}

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
