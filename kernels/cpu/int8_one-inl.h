// Integer products for one token, row after row: weights are one stream, front to back, as a
// processor fetches ahead best. (Rows side by side, as several tokens need them, are as many
// streams, and a prefetch by instruction holds one of L1's few places for outstanding reads as
// long as memory takes; the hardware's own prefetches into L2 do not.) How far a processor sees
// ahead depends on how few instructions a line takes: so activations are operands in memory,
// aligned, and sums that fit 16 bits are added by narrowing.
//
// kLanes runs of a row become a vector of exact sums, and with their scales a vector of terms.
// Terms of kLanes rows are turned and added in the order of runs, as on every other route.
// Compiled per target.
#if defined(HONE_CPU_INT8_ONE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_ONE_INL_H_
#undef HONE_CPU_INT8_ONE_INL_H_
#else
#define HONE_CPU_INT8_ONE_INL_H_
#endif

#include "kernels/cpu/int8_blocks-inl.h"
#include "kernels/cpu/int8_few-inl.h"
#include "kernels/cpu/int8_product.h"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

// ---- Scales and zero points of a row, a lane for each run.

class RowValues {
 public:
  explicit RowValues(const WeightView& w) : w_(w), groups_(w.scales ? w.columns / w.group : 1) {
    if (groups_ > 1) runs_per_group_ = w.group / input_run(w);
    if (groups_ > 1 && runs_per_group_ == 1) last_whole_ = w.scale_rows * groups_ - kLanes;
  }
  void start(int64_t row) {
    zeros_at_ = row * groups_;
    scales_at_ = w_.scale_rows == 1 ? 0 : zeros_at_;
  }

  // to[i]: sum i without zero points, times its scale. zero: of all rows.
  HWY_INLINE void store_terms(Ints sums, int32_t zero, int64_t run, int64_t count,
                              const Int8Part& x, float* to) const {
    const Tag<int32_t> d;
    const Ints x_sums = hn::LoadU(d, x.sums + run);
    Ints offsets = hn::Mul(hn::Set(d, zero), x_sums);
    if (w_.zeros) offsets = hn::Add(offsets, hn::Mul(zeros(run, count), x_sums));
    const Floats exact = hn::ConvertTo(kFloatTag, hn::Sub(sums, offsets));
    hn::StoreU(hn::Mul(exact, scales(run, count)), kFloatTag, to);
  }

 private:
  // Of the runs [run, run + count), count <= kLanes. Other lanes: anything.
  HWY_INLINE Floats scales(int64_t run, int64_t count) const {
    if (scales_at_ + run <= last_whole_) return load_scales(w_, scales_at_ + run);
    if (!w_.scales) return hn::Set(kFloatTag, 1.0f);
    if (groups_ == 1) return hn::Set(kFloatTag, load_scale(w_.scale_type, w_.scales, scales_at_));
    alignas(64) float values[kLanes] = {};
    for (int64_t i = 0; i < count; ++i) {
      values[i] = load_scale(w_.scale_type, w_.scales, scales_at_ + (run + i) / runs_per_group_);
    }
    return hn::Load(kFloatTag, values);
  }
  HWY_INLINE Ints zeros(int64_t run, int64_t count) const {
    if (!w_.zeros) return hn::Zero(Tag<int32_t>());
    alignas(64) int32_t values[kLanes] = {};
    for (int64_t i = 0; i < count; ++i) {
      values[i] = w_.zeros[zeros_at_ + (groups_ == 1 ? 0 : (run + i) / runs_per_group_)];
    }
    return hn::Load(Tag<int32_t>(), values);
  }

  const WeightView& w_;
  int64_t groups_;
  int64_t runs_per_group_ = 1;
  int64_t last_whole_ = -1;  // the last scale from which on kLanes runs' scales lie in a row
  int64_t scales_at_ = 0;
  int64_t zeros_at_ = 0;
};

// ---- Sums of runs.

// sum_four of sums that fit 15 bits.
HWY_INLINE Ints sum_short_four(Ints a, Ints b, Ints c, Ints e) {
  const hn::Repartition<int16_t, Tag<int32_t>> d16;
  const auto add_pairs = [d16](Ints low, Ints high) HWY_ATTR {
    Ints unused = hn::Zero(Tag<int32_t>());
    return hn::ReorderWidenMulAccumulate(Tag<int32_t>(), hn::ReorderDemote2To(d16, low, high),
                                         hn::Set(d16, 1), hn::Zero(Tag<int32_t>()), unused);
  };
  return add_pairs(add_pairs(a, b), add_pairs(c, e));
}

// Whether a lane of a run's sum and the sum of two lanes fit 16 bits, whatever the codes and the
// integers: those are -128 at least.
template <class Rows, int64_t kBytes>
constexpr bool has_short_sums() {
  constexpr int64_t kProducts = kBytes / kLanes * Rows::kPerByte;  // in a lane
  constexpr int64_t kLargestCode = (1 << 8 / Rows::kPerByte) - 1;
  return kProducts * kLargestCode * 128 < (1 << 14);
}

// Lane i: multiply(i), the sum of run i, for `count` runs. kShort: has_short_sums.
template <bool kAll, bool kShort, class Multiply>
HWY_INLINE Ints sum_runs(int64_t count, const Multiply& multiply) {
  Ints fours[kLanes / 4];
  HONE_UNROLL for (int64_t i = 0; i < kLanes / 4; ++i) {
    Ints sums[4];
    HONE_UNROLL for (int64_t k = 0; k < 4; ++k) {
      const int64_t run = 4 * i + k;
      sums[k] = hn::Zero(Tag<int32_t>());
      if (kAll || run < count) sums[k] = multiply(run);
    }
    fours[i] = kShort ? sum_short_four(sums[0], sums[1], sums[2], sums[3])
                      : sum_four(sums[0], sums[1], sums[2], sums[3]);
  }
  return sum_blocks(fours);
}

// ---- Memory that a thread keeps, for the product that it is at.

struct RowScratch {
  PageVector<float> terms;      // of kLanes rows
  LineVector<int8_t> quads;     // activations in another order
  LineVector<int32_t> offsets;  // what zero points take away, of each run
};

inline RowScratch& row_scratch() {
  thread_local RowScratch scratch;
  return scratch;
}

// ---- Rows. What RowByRow walks through:
//
//   kRuns                           runs that it takes at once, whole vectors of terms
//   prepare(x)                      before a token's first row: lays out anew what terms need of it
//   start(row)                      goes to a row
//   terms<kAll>(run, count, x, to)  to[i]: the sum of run + i, codes times integers without their
//                                   zero points, times its scale. count <= kRuns, all of them where
//                                   kAll; beyond them it may write anything, up to kRuns in all.
//                                   Calls come in the order of runs

// Of I8 and packed integers of 2, 4 or 8 bits, kBytes a run.
template <class Rows, int64_t kBytes>
class PlainRow {
 public:
  static constexpr int64_t kRuns = kLanes;

  explicit PlainRow(const WeightView& w) : w_(w), values_(w) {}
  static void prepare(const Int8Part&) {}
  void start(int64_t row) {
    values_.start(row);
    codes_ = reinterpret_cast<const uint8_t*>(w_.payload + row * w_.row_stride);
  }

  template <bool kAll>
  HWY_INLINE void terms(int64_t run, int64_t count, const Int8Part& x, float* to) const {
    const uint8_t* const codes = codes_ + run * kBytes;
    const int8_t* const quads = x.quads + run * x.run;
    const Ints sums =
        sum_runs<kAll, has_short_sums<Rows, kBytes>()>(count, [codes, quads](int64_t i) HWY_ATTR {
          for (int64_t b = 0; b < kBytes; b += kLine) ask_for_stream(codes + i * kBytes + b);
          return multiply_row<Rows, kBytes>(codes + i * kBytes,
                                            quads + i * kBytes * Rows::kPerByte);
        });
    values_.store_terms(sums, Rows::zero(), run, count, x, to);
  }

 private:
  const WeightView& w_;
  RowValues values_;
  const uint8_t* codes_ = nullptr;
};

// ---- The walk.

template <class Row>
class RowByRow final : public Int8Product {
 public:
  explicit RowByRow(const WeightView& w)
      : row_(w),
        stride_((w.columns / input_run(w) + Row::kRuns - 1) / Row::kRuns * Row::kRuns + kSkew) {}

  void multiply(int64_t row, int64_t count, const Int8Tokens& x, int64_t first, int64_t, float* out,
                int64_t) override {
    const Int8Part token(x, first);
    grow(row_scratch().terms, kLanes * stride_);
    terms_ = row_scratch().terms.data();
    row_.prepare(token);
    for (int64_t r = 0; r < count; r += kLanes) {
      set_terms(row + r, std::min(kLanes, count - r), token);
      hn::StoreU(add_terms(token), kFloatTag, out + r);
    }
  }

 private:
  // Rows whose distance is a power of two share L1's sets.
  static constexpr int64_t kSkew = kLine / sizeof(float);

  void set_terms(int64_t row, int64_t count, const Int8Part& x) {
    for (int64_t r = 0; r < count; ++r) {
      row_.start(row + r);
      float* const terms = terms_ + r * stride_;
      int64_t run = 0;
      for (; run + Row::kRuns <= x.runs; run += Row::kRuns) {
        row_.template terms<true>(run, Row::kRuns, x, terms + run);
      }
      if (run < x.runs) row_.template terms<false>(run, x.runs - run, x, terms + run);
    }
  }

  // Lane r: the result of row r. What RunEnd::add does, in the same order.
  HWY_INLINE Floats add_terms(const Int8Part& x) const {
    Floats results = hn::Zero(kFloatTag);
    for (int64_t run = 0; run < x.runs; run += 4) {
      Words terms[4];  // of a run each
      turn_words(reinterpret_cast<const uint8_t*>(terms_ + run), 4 * stride_, terms);
      for (int64_t i = 0; i < std::min<int64_t>(4, x.runs - run); ++i) {
        const Floats step = hn::Set(kFloatTag, x.scales[run + i]);
        results = hn::MulAdd(hn::BitCast(kFloatTag, terms[i]), step, results);
      }
    }
    return results;
  }

  Row row_;
  int64_t stride_;
  float* terms_ = nullptr;  // [kLanes][stride]
};

// Beyond so many runs a row, terms of kLanes rows leave L1 before they are added. Q8_0 on a Zen 4,
// a product's time against rows side by side: 0.84 with 64 runs, 1.08 with 176.
constexpr int64_t kMostRuns = 128;

// Whose rows go one by one: those of I8 and packed integers, if runs are whole vectors, and those
// of int8_one_blocks-inl.h.
template <class Rows>
struct ByRow {
  static std::unique_ptr<Int8Product> make(const WeightView&) { return nullptr; }
};

template <int kBits, bool kTwosComplement, RunKind kKind>
struct ByRow<PlainRows<kBits, kTwosComplement, kKind>> {
  using Rows = PlainRows<kBits, kTwosComplement, kKind>;
  static std::unique_ptr<Int8Product> make(const WeightView& w) {
    static_assert(64 % kVectorBytes == 0);
    const int64_t bytes = input_run(w) / Rows::kPerByte;
    if (w.columns % input_run(w) != 0) return nullptr;
    if (bytes == 64) return std::make_unique<RowByRow<PlainRow<Rows, 64>>>(w);
    if (bytes == 128) return std::make_unique<RowByRow<PlainRow<Rows, 128>>>(w);
    return nullptr;
  }
};

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
