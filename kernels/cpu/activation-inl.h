// exp, the activation functions and their relatives on vectors of f32. Compiled per target.
//
// Errors against the exact function, measured over all of their range by cpu_test: exp 2 ulp; the
// activations a few ulp of the larger of |x| and |result|. NaN stays NaN and infinities behave as
// in the formulas of ops.h, which Highway's Exp by itself does not promise.
#if defined(HONE_CPU_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_ACTIVATION_INL_H_
#undef HONE_CPU_ACTIVATION_INL_H_
#else
#define HONE_CPU_ACTIVATION_INL_H_
#endif

#include <cstring>
#include <limits>

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "kernels/ops.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

template <class D, class V = hn::Vec<D>>
HWY_INLINE V exponential(D d, V x) {
  const V inside = hn::Min(hn::Max(x, hn::Set(d, -104.0f)), hn::Set(d, 88.7f));
  const V overflow = hn::Set(d, std::numeric_limits<float>::infinity());
  const V big = hn::IfThenElse(hn::Gt(x, hn::Set(d, 88.72283f)), overflow, hn::Exp(d, inside));
  const V any = hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -103.9f)), big);
  return hn::IfThenElse(hn::IsNaN(x), x, any);
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V logistic(D d, V x) {  // 1 / (1 + exp(-x))
  const V one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, exponential(d, hn::Neg(x))));
}

// Complementary error function of z >= 0, relative error below 1.2e-7 (Press et al., Numerical
// Recipes, 2nd ed., 6.2): t exp(-z^2 + p(t)), t = 1 / (1 + z/2).
template <class D, class V = hn::Vec<D>>
HWY_INLINE V erfc_positive(D d, V z) {
  const V t = hn::Div(hn::Set(d, 1.0f), hn::MulAdd(z, hn::Set(d, 0.5f), hn::Set(d, 1.0f)));
  constexpr float kP[] = {0.17087277f,  -0.82215223f, 1.48851587f, -1.13520398f, 0.27886807f,
                          -0.18628806f, 0.09678418f,  0.37409196f, 1.00002368f,  -1.26551223f};
  V p = hn::Set(d, kP[0]);
  for (int i = 1; i < 10; ++i) p = hn::MulAdd(p, t, hn::Set(d, kP[i]));
  return hn::Mul(t, exponential(d, hn::NegMulAdd(z, z, p)));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V gelu(D d, V x) {  // x times the normal distribution function
  const V z = hn::Mul(hn::Abs(x), hn::Set(d, 0.70710678f));
  const V upper = hn::Mul(hn::Set(d, 0.5f), erfc_positive(d, z));  // P(X > |x|)
  const V lower = hn::Sub(hn::Set(d, 1.0f), upper);
  return hn::Mul(x, hn::IfThenElse(hn::Lt(x, hn::Zero(d)), upper, lower));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V gelu_tanh(D d, V x) {  // (1 + tanh u) / 2 = logistic(2u)
  const V inner = hn::MulAdd(hn::Mul(hn::Set(d, 0.044715f), x), hn::Mul(x, x), x);
  return hn::Mul(x, logistic(d, hn::Mul(hn::Set(d, 1.5957691f), inner)));  // 2 sqrt(2 / pi)
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V activate(D d, Activation activation, V x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kSilu:
      return hn::Div(x, hn::Add(hn::Set(d, 1.0f), exponential(d, hn::Neg(x))));
    case Activation::kGelu:
      return gelu(d, x);
    case Activation::kGeluTanh:
      return gelu_tanh(d, x);
  }
  return x;
}

// out[i] = body(tag, a[i] (, b[i])): whole vectors, then one padded with zeros, so that a value
// gets the same arithmetic wherever it lies. `out` may be an input.
template <class Body>
HWY_INLINE void transform1(const float* a, float* out, int64_t count, const Body& body) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(body(d, hn::LoadU(d, a + i)), d, out + i);
  if (i == count) return;
  float rest[hn::MaxLanes(hn::ScalableTag<float>())] = {};
  std::memcpy(rest, a + i, (count - i) * sizeof(float));
  hn::StoreU(body(d, hn::LoadU(d, rest)), d, rest);
  std::memcpy(out + i, rest, (count - i) * sizeof(float));
}

template <class Body>
HWY_INLINE void transform2(const float* a, const float* b, float* out, int64_t count,
                           const Body& body) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(body(d, hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, out + i);
  }
  if (i == count) return;
  float rest[2][hn::MaxLanes(hn::ScalableTag<float>())] = {};
  std::memcpy(rest[0], a + i, (count - i) * sizeof(float));
  std::memcpy(rest[1], b + i, (count - i) * sizeof(float));
  hn::StoreU(body(d, hn::LoadU(d, rest[0]), hn::LoadU(d, rest[1])), d, rest[0]);
  std::memcpy(out + i, rest[0], (count - i) * sizeof(float));
}

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
