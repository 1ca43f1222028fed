// Rotary position embedding, rotate-half form (Su et al. 2021, RoFormer). Angles, sines and cosines
// are taken in double, once per token for all of its heads.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rope.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "hwy/highway.h"
#include "kernels/cpu/cpu_ops.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

constexpr int64_t kPairs = 64;                // sines and cosines at a time
constexpr int64_t kRangeElements = 8 * 1024;  // worth handing to a thread

struct Rotation {
  float cosine[kPairs];
  float sine[kPairs];
};

Rotation rotation(const RopeArgs& args, int32_t position, int64_t first, int64_t count) {
  Rotation r = {};
  for (int64_t i = 0; i < count; ++i) {
    const double angle = position * args.inv_freq[first + i];
    r.cosine[i] = static_cast<float>(std::cos(angle) * args.attention_factor);
    r.sine[i] = static_cast<float>(std::sin(angle) * args.attention_factor);
  }
  return r;
}

template <class D>
HWY_INLINE void rotate_vector(D d, const Rotation& r, int64_t i, float* a, float* b) {
  const auto va = hn::LoadU(d, a + i);
  const auto vb = hn::LoadU(d, b + i);
  const auto cosine = hn::LoadU(d, r.cosine + i);
  const auto sine = hn::LoadU(d, r.sine + i);
  hn::StoreU(hn::NegMulAdd(vb, sine, hn::Mul(va, cosine)), d, a + i);
  hn::StoreU(hn::MulAdd(va, sine, hn::Mul(vb, cosine)), d, b + i);
}

// a and b: the first and second element of each pair.
void rotate(const Rotation& r, int64_t count, float* a, float* b) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) rotate_vector(d, r, i, a, b);
  for (; i < count; ++i) rotate_vector(hn::CappedTag<float, 1>(), r, i, a, b);
}

}  // namespace

void rope(BackendContext& opaque, const RopeArgs& args) {
  const int64_t half = args.rotary / 2;
  CHECK(args.rotary % 2 == 0 && args.rotary <= args.head_dim);
  const int64_t width = std::max<int64_t>(1, args.heads * args.head_dim);
  const int64_t grain = std::max<int64_t>(1, kRangeElements / width);
  own(opaque).pool.parallel_for(args.tokens, grain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t i = 0; i < half; i += kPairs) {
        const int64_t count = std::min(kPairs, half - i);
        const Rotation r = rotation(args, args.positions[t], i, count);
        for (int64_t h = 0; h < args.heads; ++h) {
          float* const x = args.x + (t * args.heads + h) * args.head_dim + i;
          rotate(r, count, x, x + half);
        }
      }
    }
  });
}

namespace {

// Heads, in place, before they turn.
void normalise(BackendContext& opaque, const InputNorm& norm, const RopeArgs& heads) {
  if (!norm.weight) return;
  choose_rms_norm()(opaque, {.x = heads.x,
                             .weight = norm.weight,
                             .out = heads.x,
                             .rows = heads.tokens * heads.heads,
                             .dim = heads.head_dim,
                             .eps = norm.eps});
}

}  // namespace

void rope_kv_store(BackendContext& opaque, const RopeKvStoreArgs& args) {
  normalise(opaque, args.norm_q, args.rope_q);
  normalise(opaque, args.norm_k, args.rope_k);
  rope(opaque, args.rope_q);
  rope(opaque, args.rope_k);
  choose_kv_store()(opaque, args.store);
}

}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::cpu {
HWY_EXPORT(rope);
HWY_EXPORT(rope_kv_store);
CHOOSE_OP(rope, RopeArgs)
CHOOSE_OP(rope_kv_store, RopeKvStoreArgs)
}  // namespace hone::cpu
#endif
