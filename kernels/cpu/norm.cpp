// RMS norm and layer norm. Sums are taken in double: a row is short, and the error of the mean and
// of the variance then does not depend on its length.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "hwy/highway.h"
#include "kernels/cpu/activation-inl.h"
#include "kernels/cpu/cpu_ops.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

using DoubleTag = hn::ScalableTag<double>;
using Doubles = hn::Vec<DoubleTag>;
constexpr DoubleTag kDoubleTag;
constexpr int64_t kDoubles = hn::MaxLanes(DoubleTag());
constexpr int64_t kRangeElements = 16 * 1024;  // worth handing to a thread

// Sum of body(v) over the row, v in double.
template <class Body>
double sum_row(const float* row, int64_t dim, const Body& body) {
  const hn::Rebind<float, DoubleTag> d;
  Doubles even = hn::Zero(kDoubleTag);
  Doubles odd = even;
  int64_t i = 0;
  for (; i + 2 * kDoubles <= dim; i += 2 * kDoubles) {
    const auto first = hn::PromoteTo(kDoubleTag, hn::LoadU(d, row + i));
    const auto second = hn::PromoteTo(kDoubleTag, hn::LoadU(d, row + i + kDoubles));
    even = hn::Add(even, body(kDoubleTag, first));
    odd = hn::Add(odd, body(kDoubleTag, second));
  }
  double sum = hn::GetLane(hn::SumOfLanes(kDoubleTag, hn::Add(even, odd)));
  const hn::CappedTag<double, 1> one;
  for (; i < dim; ++i) sum += hn::GetLane(body(one, hn::Set(one, double{row[i]})));
  return sum;
}

// The row to normalise: x itself, or x + residual, which is kept in `sum` or else in `out`.
template <class Args>
const float* input_row(const Args& args, int64_t first) {
  if (!args.residual) return args.x + first;
  float* const to = (args.sum ? args.sum : args.out) + first;
  transform2(args.x + first, args.residual + first, to, args.dim,
             [](auto, auto a, auto b) { return hn::Add(a, b); });
  return to;
}

void rms_norm_row(const RmsNormArgs& args, int64_t first) {
  const float* const row = input_row(args, first);
  const double squares = sum_row(row, args.dim, [](auto, auto v) { return hn::Mul(v, v); });
  const double mean = squares / static_cast<double>(args.dim);
  const auto factor = static_cast<float>(1 / std::sqrt(mean + args.eps));
  transform2(row, args.weight, args.out + first, args.dim, [factor](auto d, auto v, auto w) {
    return hn::Mul(hn::Mul(v, hn::Set(d, factor)), w);
  });
}

void layer_norm_row(const LayerNormArgs& args, int64_t first) {
  const float* const row = input_row(args, first);
  const double dim = static_cast<double>(args.dim);
  const double mean = sum_row(row, args.dim, [](auto, auto v) { return v; }) / dim;
  const double squares = sum_row(row, args.dim, [mean](auto d, auto v) {
    const auto difference = hn::Sub(v, hn::Set(d, mean));
    return hn::Mul(difference, difference);
  });
  const auto factor = static_cast<float>(1 / std::sqrt(squares / dim + args.eps));
  const auto center = static_cast<float>(mean);
  const auto rest = static_cast<float>(mean - center);  // what f32 cannot hold of a large mean
  float* const out = args.out + first;
  transform2(row, args.weight, out, args.dim, [=](auto d, auto v, auto w) {
    const auto centered = hn::Sub(hn::Sub(v, hn::Set(d, center)), hn::Set(d, rest));
    return hn::Mul(hn::Mul(centered, hn::Set(d, factor)), w);
  });
  if (!args.bias) return;
  transform2(out, args.bias, out, args.dim, [](auto, auto a, auto b) { return hn::Add(a, b); });
}

template <class Args, class Row>
void for_each_row(BackendContext& opaque, const Args& args, const Row& row) {
  CHECK(args.dim > 0);
  const int64_t grain = std::max<int64_t>(1, kRangeElements / args.dim);
  own(opaque).pool.parallel_for(args.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) row(args, r * args.dim);
  });
}

}  // namespace

void rms_norm(BackendContext& context, const RmsNormArgs& args) {
  for_each_row(context, args, rms_norm_row);
}

void layer_norm(BackendContext& context, const LayerNormArgs& args) {
  for_each_row(context, args, layer_norm_row);
}

}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::cpu {
HWY_EXPORT(rms_norm);
HWY_EXPORT(layer_norm);
CHOOSE_OP(rms_norm, RmsNormArgs)
CHOOSE_OP(layer_norm, LayerNormArgs)
}  // namespace hone::cpu
#endif
