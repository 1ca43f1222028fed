// Causal attention over the cache, by the online softmax (Milakov and Gimelshein 2018; Dao et al.
// 2022, FlashAttention): keys come in blocks of kKeys, and when a block holds a new maximum, what
// was summed so far is scaled down. So no row of scores as long as the context is ever stored.
// Blocks start at the first visible position: the order of sums depends on the token alone.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "hwy/highway.h"
#include "kernels/cpu/activation-inl.h"
#include "kernels/cpu/cpu_ops.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

using FloatTag = hn::ScalableTag<float>;
using Floats = hn::Vec<FloatTag>;
constexpr FloatTag kFloatTag;
constexpr int64_t kLanes = hn::MaxLanes(FloatTag());
constexpr int64_t kKeys = 64;                  // a multiple of every vector's lanes
constexpr int64_t kRangeElements = 32 * 1024;  // multiply-adds worth handing to a thread

float dot(const float* a, const float* b, int64_t count) {
  Floats even = hn::Zero(kFloatTag);
  Floats odd = even;
  int64_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    even = hn::MulAdd(hn::LoadU(kFloatTag, a + i), hn::LoadU(kFloatTag, b + i), even);
    odd =
        hn::MulAdd(hn::LoadU(kFloatTag, a + i + kLanes), hn::LoadU(kFloatTag, b + i + kLanes), odd);
  }
  if (i + kLanes <= count) {
    even = hn::MulAdd(hn::LoadU(kFloatTag, a + i), hn::LoadU(kFloatTag, b + i), even);
    i += kLanes;
  }
  float sum = hn::GetLane(hn::SumOfLanes(kFloatTag, hn::Add(even, odd)));
  for (; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

// out += weight * v
void add_scaled(const float* v, float weight, int64_t count, float* out) {
  const Floats factor = hn::Set(kFloatTag, weight);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Floats sum = hn::LoadU(kFloatTag, out + i);
    hn::StoreU(hn::MulAdd(factor, hn::LoadU(kFloatTag, v + i), sum), kFloatTag, out + i);
  }
  for (; i < count; ++i) out[i] += weight * v[i];
}

void multiply_by(float factor, int64_t count, float* out) {
  transform1(out, out, count, [factor](auto d, auto v) { return hn::Mul(v, hn::Set(d, factor)); });
}

float exponential_of(float x) {
  const hn::CappedTag<float, 1> d;
  return hn::GetLane(exponential(d, hn::Set(d, x)));
}

// The softmax of scores seen so far: weights are relative to exp(maximum).
struct Softmax {
  float maximum = -std::numeric_limits<float>::infinity();
  float sum = 0;

  // Takes `count` more scores (room for kKeys) and turns them into weights. Returns the factor by
  // which everything summed before shrinks.
  float take(float* scores, int64_t count) {
    constexpr float kNone = -std::numeric_limits<float>::infinity();
    std::fill(scores + count, scores + kKeys, kNone);
    Floats largest = hn::Set(kFloatTag, maximum);
    for (int64_t i = 0; i < kKeys; i += kLanes) {
      largest = hn::Max(largest, hn::LoadU(kFloatTag, scores + i));
    }
    const float now = hn::GetLane(hn::MaxOfLanes(kFloatTag, largest));
    // Nothing but -inf so far: any base will do, all weights are zero.
    const float base = now == kNone ? 0.0f : now;
    const float shrink = maximum == kNone ? 0.0f : exponential_of(maximum - base);
    Floats total = hn::Zero(kFloatTag);
    for (int64_t i = 0; i < kKeys; i += kLanes) {
      const Floats score = hn::LoadU(kFloatTag, scores + i);
      const Floats weight = exponential(kFloatTag, hn::Sub(score, hn::Set(kFloatTag, base)));
      hn::StoreU(weight, kFloatTag, scores + i);
      total = hn::Add(total, weight);
    }
    sum = sum * shrink + hn::GetLane(hn::SumOfLanes(kFloatTag, total));
    maximum = now;
    return shrink;
  }
};

template <typename Args>
int64_t cache_offset(const Args& args, int64_t sequence, int64_t kv_head, int64_t position) {
  return ((sequence * args.kv_heads + kv_head) * args.capacity + position) * args.head_dim;
}

void attend(const AttentionArgs& args, int64_t token, int64_t head) {
  const int64_t dim = args.head_dim;
  const int64_t position = args.positions[token];
  CHECK(position >= 0 && position < args.capacity);
  const int64_t first = args.window > 0 ? std::max<int64_t>(0, position - args.window + 1) : 0;
  const int64_t kv_head = head / (args.heads / args.kv_heads);
  const int64_t row = cache_offset(args, args.sequences[token], kv_head, 0);
  const float* const q = args.q + (token * args.heads + head) * dim;
  float* const out = args.out + (token * args.heads + head) * dim;
  const float slope = args.alibi_slopes ? args.alibi_slopes[head] : 0.0f;
  const auto scale = static_cast<float>(args.scale);

  std::fill_n(out, dim, 0.0f);
  Softmax softmax;
  alignas(64) float scores[kKeys];
  for (int64_t block = first; block <= position; block += kKeys) {
    const int64_t count = std::min(kKeys, position + 1 - block);
    const float* const keys = args.keys + row + block * dim;
    for (int64_t k = 0; k < count; ++k) {
      // Softmax does not see a shift of all scores: counted from the query, the bias is small where
      // weights are large.
      const double bias = static_cast<double>(slope) * static_cast<double>(block + k - position);
      scores[k] = dot(q, keys + k * dim, dim) * scale + static_cast<float>(bias);
    }
    const float shrink = softmax.take(scores, count);
    if (shrink != 1.0f) multiply_by(shrink, dim, out);
    const float* const values = args.values + row + block * dim;
    for (int64_t k = 0; k < count; ++k) add_scaled(values + k * dim, scores[k], dim, out);
  }
  multiply_by(1.0f / softmax.sum, dim, out);
}

}  // namespace

void kv_store(BackendContext&, const KvStoreArgs& args) {
  for (int64_t t = 0; t < args.tokens; ++t) {
    CHECK(args.positions[t] >= 0 && args.positions[t] < args.capacity);
    for (int64_t h = 0; h < args.kv_heads; ++h) {
      const int64_t from = (t * args.kv_heads + h) * args.head_dim;
      const int64_t to = cache_offset(args, args.sequences[t], h, args.positions[t]);
      std::copy_n(args.k + from, args.head_dim, args.keys + to);
      std::copy_n(args.v + from, args.head_dim, args.values + to);
    }
  }
}

void attention(BackendContext& opaque, const AttentionArgs& args) {
  CHECK(args.kv_heads > 0 && args.heads % args.kv_heads == 0);
  if (args.tokens == 0) return;
  // Neighbouring heads share keys and values: a thread takes some of them together.
  const int64_t longest = *std::max_element(args.positions, args.positions + args.tokens) + 1;
  const int64_t work = std::max<int64_t>(1, 2 * longest * args.head_dim);
  const int64_t grain = std::max<int64_t>(1, kRangeElements / work);
  own(opaque).pool.parallel_for(args.tokens * args.heads, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) attend(args, i / args.heads, i % args.heads);
  });
}

}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::cpu {
HWY_EXPORT(kv_store);
HWY_EXPORT(attention);
CHOOSE_OP(kv_store, KvStoreArgs)
CHOOSE_OP(attention, AttentionArgs)
}  // namespace hone::cpu
#endif
