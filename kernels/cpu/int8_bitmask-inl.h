// Weights of 8 bits with a bitmask (tensor_view.h) as a storage of int8_rows-inl.h: one instruction
// reads as many bytes as a word of the mask has bits, and spreads them; what was dropped becomes
// the zero point. For AVX-512 with VBMI2; elsewhere nothing is packed so. Compiled per target.
#if defined(HONE_CPU_INT8_BITMASK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_BITMASK_INL_H_
#undef HONE_CPU_INT8_BITMASK_INL_H_
#else
#define HONE_CPU_INT8_BITMASK_INL_H_
#endif

#include <bit>

#include "kernels/cpu/int8_one-inl.h"
#include "kernels/cpu/int8_sparse-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int32_t kZeroOfBitmask = 128;

// As many codes from `packed` on as mask has bits, to where it has them; zeros elsewhere.
template <bool kTwosComplement>
HWY_INLINE Words spread_codes(uint64_t mask, const std::byte* packed) {
  const __m512i zeros = _mm512_set1_epi8(static_cast<char>(kZeroOfBitmask));
  if constexpr (kTwosComplement) return Words{_mm512_xor_si512(expand_bytes(mask, packed), zeros)};
  return Words{expand_bytes(mask, packed, zeros)};
}

template <bool kTwosComplement>
class BitmaskRows : public SparseStorage {
 public:
  using Stream = NoStream;

  explicit BitmaskRows(const WeightView& w) : SparseStorage(w, w.mask) {}

  static constexpr int64_t unit_bytes() { return 1; }
  static constexpr int32_t zero() { return kZeroOfBitmask; }
  void start(int64_t row, int64_t count) {
    SparseStorage::start(row, count);
    const int64_t* const offsets = w_.row_offsets;
    for (int64_t r = 0; r < kLanes; ++r) {
      packed_[r] = w_.payload + offsets[row + std::min(r, last_)];
    }
    const int64_t next = std::min(row + kAheadRows, w_.rows);
    const int64_t bytes = offsets[std::min(next + kLanes, w_.rows)] - offsets[next];
    ahead_ = w_.payload + offsets[next];
    ahead_step_ = bytes / (4 * w_.columns / kLongestRun);
  }

  template <int kT>
  HWY_INLINE void multiply(const Codes&, int64_t run, const Int8Part& x, Ints* sums) {
    alignas(64) int8_t apart[kT * kLongestRun];
    const int8_t* const tokens = tokens_apart<kT>(x.quads + run * kLongestRun * kT, apart);
    Ints fours[kT][kLanes / 4];
    HONE_UNROLL for (int64_t i = 0; i < kLanes / 4; ++i) {
      Ints rows[kT][4];
      HONE_UNROLL for (int64_t r = 0; r < 4; ++r) {
        Words codes[2];
        expand_row(4 * i + r, run, codes);
        HONE_UNROLL for (int t = 0; t < kT; ++t) {
          const Tag<uint32_t> d;
          const int8_t* const of_token = tokens + t * kLongestRun;
          rows[t][r] = add_products(hn::Zero(Tag<int32_t>()), codes[0], load_bytes(d, of_token));
          rows[t][r] =
              add_products(rows[t][r], codes[1], load_bytes(d, of_token + kLongestRun / 2));
        }
      }
      HONE_UNROLL for (int t = 0; t < kT; ++t) {
        fours[t][i] = sum_four(rows[t][0], rows[t][1], rows[t][2], rows[t][3]);
      }
      prefetch(run, i);
    }
    HONE_UNROLL for (int t = 0; t < kT; ++t) {
      const int32_t of_zeros = zero() * x.sums[run * kT + t];
      sums[t] = hn::Sub(sum_blocks(fours[t]), hn::Set(Tag<int32_t>(), of_zeros));
    }
  }

  // The run with all its columns.
  HWY_INLINE Codes codes(const Codes&, int64_t run) {
    for (int64_t r = 0; r < kLanes; ++r) {
      Words codes[2];
      if (r % 4 == 0) prefetch(run, r / 4);
      expand_row(r, run, codes);
      _mm512_store_si512(codes_ + r * kLongestRun, codes[0].raw);
      _mm512_store_si512(codes_ + r * kLongestRun + kLongestRun / 2, codes[1].raw);
    }
    return {codes_, kLongestRun, codes_};
  }

 private:
  HWY_INLINE void prefetch(int64_t run, int64_t quarter) const {
    if (ahead_step_ == 0) return;
    prefetch_places(run, quarter);
    const std::byte* const packed = ahead_ + (4 * run + quarter) * ahead_step_;
    for (int64_t i = 0; i < ahead_step_; i += kLine) __builtin_prefetch(packed + i, 0, 2);
  }

  // The codes of a run of row r; the row's next ones come next.
  HWY_INLINE void expand_row(int64_t r, int64_t run, Words* codes) {
    uint64_t masks[2];
    std::memcpy(masks, places(run) + std::min(r, last_) * places_stride_, sizeof masks);
    const std::byte* packed = packed_[r];
    HONE_UNROLL for (int i = 0; i < 2; ++i) {
      codes[i] = spread_codes<kTwosComplement>(masks[i], packed);
      packed += std::popcount(masks[i]);
    }
    packed_[r] = packed;
  }

  const std::byte* packed_[kLanes] = {};  // of each row, from its current run on
  const std::byte* ahead_ = nullptr;      // the packed bytes of the rows kAheadRows ahead
  int64_t ahead_step_ = 0;                // of those, for a quarter of a run, on average
};

// One token: a row of int8_one-inl.h. Side by side kLanes rows' packed bytes are as many streams.
template <bool kTwosComplement>
class BitmaskRow {
 public:
  static constexpr int64_t kRuns = kLanes;

  explicit BitmaskRow(const WeightView& w) : w_(w), values_(w) {}
  static void prepare(const Int8Part&) {}
  void start(int64_t row) {
    values_.start(row);
    masks_ = w_.mask + row * mask_row_bytes(w_.columns);
    packed_ = w_.payload + w_.row_offsets[row];
  }

  template <bool kAll>
  HWY_INLINE void terms(int64_t run, int64_t count, const Int8Part& x, float* to) {
    const std::byte* const masks = masks_ + run * kMaskBytes;
    const int8_t* const quads = x.quads + run * kLongestRun;
    const std::byte* packed = packed_;
    const Ints sums = sum_runs<kAll, false>(count, [&](int64_t i) HWY_ATTR {
      uint64_t two[2];
      std::memcpy(two, masks + i * kMaskBytes, sizeof two);
      if (i % (kLine / kMaskBytes) == 0) __builtin_prefetch(masks + i * kMaskBytes + kMasksAhead);
      __builtin_prefetch(packed + kPackedAhead);
      Ints sum = hn::Zero(Tag<int32_t>());
      HONE_UNROLL for (int64_t k = 0; k < 2; ++k) {
        sum = add_products_at<RunKind::kPlain>(sum, spread_codes<kTwosComplement>(two[k], packed),
                                               quads + (2 * i + k) * kVectorBytes);
        packed += std::popcount(two[k]);
      }
      return sum;
    });
    packed_ = packed;
    values_.store_terms(sums, kZeroOfBitmask, run, count, x, to);
  }

 private:
  static constexpr int64_t kMaskBytes = kLongestRun / 8;  // of a run
  // Two streams, which the processor follows, and yet gains 2 to 4 percent where it is told. Half
  // of a run's codes are a line.
  static constexpr int64_t kPackedAhead = 2048;
  static constexpr int64_t kMasksAhead = kPackedAhead / 4;

  const WeightView& w_;
  RowValues values_;
  const std::byte* masks_ = nullptr;
  const std::byte* packed_ = nullptr;  // of the run that comes next
};

template <bool kTwosComplement>
struct ByRow<BitmaskRows<kTwosComplement>> {
  static std::unique_ptr<Int8Product> make(const WeightView& w) {
    return std::make_unique<RowByRow<BitmaskRow<kTwosComplement>>>(w);
  }
};

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
