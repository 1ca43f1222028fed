// The online softmax of one row of scores, a block at a time (Milakov and Gimelshein 2018). To the
// base 2: scores are multiplied with log2(e) along with the scale, which spares exp its reduction.
// Compiled once per target (no ordinary include guard).
#if defined(HONE_CPU_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_SOFTMAX_INL_H_
#undef HONE_CPU_SOFTMAX_INL_H_
#else
#define HONE_CPU_SOFTMAX_INL_H_
#endif

#include <algorithm>
#include <limits>

#include "hwy/highway.h"
#include "kernels/cpu/decode-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kKeys = 64;  // positions of a block
constexpr float kNone = -std::numeric_limits<float>::infinity();

// 2^x for x up to 127: the polynomial of Moshier's Cephes (exp2f), below 2 ulp; 0 below the normal
// numbers. NaN stays NaN. A multiplication by 2^n, not an addition to the exponent, keeps it so.
HWY_INLINE Floats power_of_two(Floats x) {
  const Floats shift = hn::Set(kFloatTag, 0x1.8p23f);  // a sum with it holds an integer
  const Floats sum = hn::Add(x, shift);
  const Floats r = hn::Sub(x, hn::Sub(sum, shift));  // -1/2 .. 1/2
  constexpr float kP[] = {1.339887440266574e-3f, 9.618437357674640e-3f, 5.550332471162809e-2f,
                          2.402264791363012e-1f, 6.931472028550421e-1f, 1.0f};
  Floats p = hn::Set(kFloatTag, 1.535336188319500e-4f);
  for (const float c : kP) p = hn::MulAdd(p, r, hn::Set(kFloatTag, c));
  const Ints exponent = hn::Add(hn::ShiftLeft<23>(hn::BitCast(Tag<int32_t>(), sum)),
                                hn::Set(Tag<int32_t>(), 127 << 23));
  const Floats power = hn::Mul(p, hn::BitCast(kFloatTag, exponent));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(kFloatTag, -125.5f)), power);
}

float power_of_two(float x) { return hn::GetLane(power_of_two(hn::Set(kFloatTag, x))); }

// How the scores of one row become weights.
struct RowScores {
  float factor;        // scale * log2(e)
  float slope;         // ALiBi's, times log2(e); 0: none
  int64_t from_query;  // first position of the block less the query's
  int64_t begin;       // positions of the block that the row sees
  int64_t end;
  const float* key_scales;  // of the block, or null
  const float* value_scales;

  // Nothing to do but multiplications that keep the order of scores.
  bool plain() const { return begin == 0 && end == kKeys && factor > 0 && slope == 0; }
};

// One row's softmax so far: weights are relative to 2^maximum, and at most 2^kSlack.
struct Softmax {
  float maximum;
  alignas(64) float sums[kLanes];

  void start() {
    maximum = kNone;
    std::fill_n(sums, kLanes, 0.0f);
  }

  float sum() const { return hn::GetLane(hn::SumOfLanes(kFloatTag, hn::LoadU(kFloatTag, sums))); }

  // Turns the kKeys products of a block into weights; what the row does not see gets weight 0.
  // Returns the factor by which everything summed before shrinks.
  float take(const RowScores& row, float* scores) {
    if (row.plain()) return weigh(row.factor, row.key_scales, row.value_scales, scores);
    for (int64_t i = 0; i < kKeys; i += kLanes) {
      hn::StoreU(final_score(row, i, scores), kFloatTag, scores + i);
    }
    return weigh(1, nullptr, row.value_scales, scores);
  }

 private:
  static constexpr int kVectors = kKeys / kLanes;

  // A block at once: its vectors are independent, and the processor overlaps their polynomials.
  float weigh(float factor, const float* key_scales, const float* value_scales, float* scores) {
    Floats score[kVectors];
    for (int v = 0; v < kVectors; ++v) score[v] = hn::LoadU(kFloatTag, scores + v * kLanes);
    if (key_scales) multiply(score, key_scales);
    Floats largest = score[0];
    for (int v = 1; v < kVectors; ++v) largest = hn::Max(largest, score[v]);
    const Floats scale = hn::Set(kFloatTag, factor);
    const float shrink = raise(hn::Mul(largest, scale));
    // Nothing but -inf so far: any base will do, all weights are zero.
    const Floats base = hn::Set(kFloatTag, maximum == kNone ? 0.0f : maximum);
    Floats total = hn::Mul(hn::LoadU(kFloatTag, sums), hn::Set(kFloatTag, shrink));
    for (int v = 0; v < kVectors; ++v) {
      score[v] = power_of_two(hn::MulSub(score[v], scale, base));
      total = hn::Add(total, score[v]);
    }
    hn::StoreU(total, kFloatTag, sums);
    if (value_scales) multiply(score, value_scales);
    for (int v = 0; v < kVectors; ++v) hn::StoreU(score[v], kFloatTag, scores + v * kLanes);
    return shrink;
  }

  static HWY_INLINE void multiply(Floats* vectors, const float* by) {
    for (int v = 0; v < kVectors; ++v) {
      vectors[v] = hn::Mul(vectors[v], hn::LoadU(kFloatTag, by + v * kLanes));
    }
  }

  static HWY_INLINE Floats final_score(const RowScores& row, int64_t i, const float* scores) {
    if (i + kLanes <= row.begin || i >= row.end) return hn::Set(kFloatTag, kNone);
    Floats factor = hn::Set(kFloatTag, row.factor);
    if (row.key_scales) factor = hn::Mul(factor, hn::LoadU(kFloatTag, row.key_scales + i));
    Floats score = hn::Mul(hn::LoadU(kFloatTag, scores + i), factor);
    if (row.slope != 0) {
      // Softmax does not see a shift of all scores: counted from the query, the bias is small where
      // weights are large.
      const Floats distance = hn::Iota(kFloatTag, static_cast<float>(row.from_query + i));
      score = hn::MulAdd(hn::Set(kFloatTag, row.slope), distance, score);
    }
    if (i >= row.begin && i + kLanes <= row.end) return score;
    const Floats key = hn::Iota(kFloatTag, static_cast<float>(i));
    const auto seen = hn::And(hn::Ge(key, hn::Set(kFloatTag, static_cast<float>(row.begin))),
                              hn::Lt(key, hn::Set(kFloatTag, static_cast<float>(row.end))));
    return hn::IfThenElse(seen, score, hn::Set(kFloatTag, kNone));
  }

  // Any base near the maximum will do, as long as no weight overflows: only a score beyond it by
  // kSlack moves it, which in most texts the first block does once and for all. So the branch is
  // predicted, and nothing has to be scaled (FlashAttention-4 skips the scaling, too).
  float raise(Floats largest) {
    constexpr float kSlack = 8;
    const Floats limit = hn::Set(kFloatTag, maximum + kSlack);
    if (hn::AllFalse(kFloatTag, hn::Gt(largest, limit))) return 1;
    const float before = maximum;
    maximum = hn::GetLane(hn::MaxOfLanes(kFloatTag, largest));
    return before == kNone ? 0.0f : power_of_two(before - maximum);
  }
};

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
