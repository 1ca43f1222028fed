// Integer products for one token, row after row: so weights are one stream, front to back, which
// processors fetch ahead best. (Rows side by side, as several tokens need them, are as many
// streams, and prefetches by instruction do not quite stand in for that.) kLanes runs of a row
// become a vector of exact sums, and with their scales a vector of terms. Terms of kLanes rows are
// turned and added in the order of runs, as on every other route.
//
// For storages whose arithmetic is short beside their bytes. Blocks of GGUF, 2:4 and bitmasks gain
// nothing or lose: on a Zen 4, Q8_0 0.97, Q4_0 0.80, 2:4 int4 0.85 times the rate of rows side by
// side. Compiled per target.
#if defined(HONE_CPU_INT8_ONE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_ONE_INL_H_
#undef HONE_CPU_INT8_ONE_INL_H_
#else
#define HONE_CPU_INT8_ONE_INL_H_
#endif

#include "kernels/cpu/int8_few-inl.h"
#include "kernels/cpu/stream_ahead.h"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

// A row of a storage, for one token. Specialised for those that go row by row:
//   suits(w), RowOf(w), start(row)
//   sums(run, count, quads)   of runs [run, run + count), count <= kLanes, in lanes: codes times
//                             integers, exact. Other lanes: anything
//   scales(run, count), zeros(run, count)   of these runs, likewise
template <class Rows>
class RowOf {
 public:
  static constexpr bool kExists = false;
};

// ---- Scales and zero points that lie apart.

class RunValues {
 public:
  explicit RunValues(const WeightView& w) : w_(w), groups_(w.scales ? w.columns / w.group : 1) {
    if (groups_ > 1) runs_per_group_ = w.group / input_run(w);
  }
  void start(int64_t row) {
    zeros_at_ = row * groups_;
    scales_at_ = w_.scale_rows == 1 ? 0 : zeros_at_;
  }

  HWY_INLINE Floats scales(int64_t run, int64_t count) const {
    if (!w_.scales) return hn::Set(kFloatTag, 1.0f);
    if (groups_ == 1) return hn::Set(kFloatTag, load_scale(w_.scale_type, w_.scales, scales_at_));
    const int64_t at = scales_at_ + run;
    if (runs_per_group_ == 1 && at + kLanes <= w_.scale_rows * groups_) return load_scales(at);
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

 private:
  HWY_INLINE Floats load_scales(int64_t at) const {
    if (w_.scale_type == DType::kF32) return load_f32(w_.scales + 4 * at);
    const std::byte* const from = w_.scales + 2 * at;
    return w_.scale_type == DType::kBF16 ? widen_bf16(from) : widen_f16(from);
  }

  const WeightView& w_;
  int64_t groups_;
  int64_t runs_per_group_ = 1;
  int64_t scales_at_ = 0;
  int64_t zeros_at_ = 0;
};

// ---- Sums of runs.

// sum_of(run): a vector whose lanes add up to the sum of a run, for runs [0, count).
template <bool kAll, class SumOf>
HWY_INLINE Ints sums_of_runs(int64_t count, const SumOf& sum_of) {
  Ints fours[kLanes / 4];
  HONE_UNROLL for (int64_t i = 0; i < kLanes / 4; ++i) {
    if (!kAll && 4 * i >= count) {
      fours[i] = hn::Zero(Tag<int32_t>());
      continue;
    }
    Ints sums[4];  // one after the other: prefetchers lose a stream that jumps back
    HONE_UNROLL for (int64_t k = 0; k < 4; ++k) {
      sums[k] = kAll || 4 * i + k < count ? sum_of(4 * i + k) : hn::Zero(Tag<int32_t>());
    }
    fours[i] = sum_four(sums[0], sums[1], sums[2], sums[3]);
  }
  return sum_blocks(fours);
}
template <class SumOf>
HWY_INLINE Ints sums_of_runs(int64_t count, const SumOf& sum_of) {
  return count == kLanes ? sums_of_runs<true>(count, sum_of) : sums_of_runs<false>(count, sum_of);
}

// Before the bytes from `from` on are read. Prefetchers stop where a page of 4 kB ends: the first
// line of the next one is asked for when a page begins.
HWY_INLINE void prefetch_stream(const void* from, int64_t bytes, int64_t ahead) {
  constexpr int64_t kPage = 4096;
  const auto* const first = static_cast<const char*>(from);
  const auto in_page = static_cast<int64_t>(reinterpret_cast<uintptr_t>(from) % kPage);
  if (in_page < bytes) __builtin_prefetch(first + (kPage - in_page));
  if (ahead == 0) return;
  for (int64_t b = 0; b < bytes; b += kLine) __builtin_prefetch(first + ahead + b);
}

// I8, and packed integers of 2, 4 or 8 bits.
template <int kBits, bool kTwosComplement>
class RowOf<PlainRows<kBits, kTwosComplement>> {
  using Rows = PlainRows<kBits, kTwosComplement>;

 public:
  static constexpr bool kExists = true;
  static bool suits(const WeightView& w) {
    const int64_t bytes = input_run(w) * kBits / 8;
    return (bytes == 64 || bytes == 128) && w.columns % input_run(w) == 0;
  }

  explicit RowOf(const WeightView& w)
      : w_(w), bytes_(input_run(w) * kBits / 8), ahead_(stream_ahead()), values_(w) {}
  void start(int64_t row) {
    codes_ = reinterpret_cast<const uint8_t*>(w_.payload + row * w_.row_stride);
    values_.start(row);
  }

  HWY_INLINE Ints sums(int64_t run, int64_t count, const int8_t* quads) const {
    return bytes_ == 64 ? sums_of<64>(run, count, quads) : sums_of<128>(run, count, quads);
  }
  HWY_INLINE Floats scales(int64_t run, int64_t count) const { return values_.scales(run, count); }
  HWY_INLINE Ints zeros(int64_t run, int64_t count) const {
    return hn::Add(values_.zeros(run, count), hn::Set(Tag<int32_t>(), Rows::zero()));
  }

 private:
  template <int64_t kBytes>
  HWY_INLINE Ints sums_of(int64_t run, int64_t count, const int8_t* quads) const {
    const uint8_t* const codes = codes_ + run * kBytes;
    return sums_of_runs(count, [=, this](int64_t i) HWY_ATTR {
      prefetch_stream(codes + i * kBytes, kBytes, ahead_);
      return multiply_row<Rows, kBytes>(codes + i * kBytes, quads + i * kBytes * Rows::kPerByte);
    });
  }

  const WeightView& w_;
  int64_t bytes_;  // of a run
  int64_t ahead_;
  RunValues values_;
  const uint8_t* codes_ = nullptr;
};

// ---- The walk.

template <class Rows>
class RowByRow {
 public:
  explicit RowByRow(const WeightView& w)
      : row_(w),
        stride_((w.columns / input_run(w) + kLanes - 1) / kLanes * kLanes + kSkew),
        terms_(kLanes * stride_) {}

  // out[r]: row `row` + r of `count` times the token, count <= kLanes; room for kLanes.
  void multiply(int64_t row, int64_t count, const Int8Part& x, float* out) {
    for (int64_t r = 0; r < count; ++r) {
      row_.start(row + r);
      for (int64_t run = 0; run < x.runs; run += kLanes) set_terms(r, run, x);
    }
    hn::StoreU(add_terms(x), kFloatTag, out);
  }

 private:
  static constexpr int64_t kSkew = 4;  // rows whose distance is a power of two share L1's sets

  HWY_INLINE void set_terms(int64_t r, int64_t run, const Int8Part& x) {
    const int64_t count = std::min(kLanes, x.runs - run);
    const Ints of_zeros = hn::Mul(row_.zeros(run, count), hn::LoadU(Tag<int32_t>(), x.sums + run));
    const Ints sums = hn::Sub(row_.sums(run, count, x.quads + run * x.run), of_zeros);
    const Floats terms = hn::Mul(hn::ConvertTo(kFloatTag, sums), row_.scales(run, count));
    hn::StoreU(terms, kFloatTag, terms_.data() + r * stride_ + run);
  }

  // Lane r: the result of row r. What RunEnd::add does, in the same order.
  HWY_INLINE Floats add_terms(const Int8Part& x) const {
    Floats results = hn::Zero(kFloatTag);
    for (int64_t run = 0; run < x.runs; run += 4) {
      Words terms[4];  // of a run each
      const float* const from = terms_.data() + run;
      turn_words(reinterpret_cast<const uint8_t*>(from), 4 * stride_, terms);
      for (int64_t i = 0; i < std::min<int64_t>(4, x.runs - run); ++i) {
        const Floats step = hn::Set(kFloatTag, x.scales[run + i]);
        results = hn::MulAdd(hn::BitCast(kFloatTag, terms[i]), step, results);
      }
    }
    return results;
  }

  RowOf<Rows> row_;
  int64_t stride_;
  std::vector<float> terms_;  // [kLanes][stride]
};

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
