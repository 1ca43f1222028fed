// Integer products for few tokens in tile registers: rows are read where they lie, and codes
// become tiles as they come, a row of the matrix to a row of a tile, so that nothing is turned.
// (int8_amx-inl.h has rows in the lanes, this has tokens there.) Codes keep their zero points: one
// side of the instruction is unsigned.
//
// Two threads of an Emerald Rapids, GB/s of weights from memory that gives 31: 8 tokens and 4-bit
// codes by groups of 128 20, by VNNI 16; 16 tokens 19 and 10, Q8_0 19 and 11, Q4_0 12 and 6.
// Compiled per target.
#if defined(HONE_CPU_INT8_AMX_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_AMX_ROWS_INL_H_
#undef HONE_CPU_INT8_AMX_ROWS_INL_H_
#else
#define HONE_CPU_INT8_AMX_ROWS_INL_H_
#endif

#include "kernels/cpu/amx-inl.h"
#include "kernels/cpu/int8_few-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

// The products of kLanes rows with up to kAmxFewTokens. part: TokenOrder::kTileQuads.
template <class Rows>
class AmxRows {
 public:
  AmxRows(const Int8Part& part, int64_t tokens)
      : part_(part),
        tokens_(tokens),
        width_(tile_width(tokens)),
        shapes_(kAmxRows, std::min(part.run, kAmxRowBytes), std::min(tokens, kAmxTokens)) {}

  // Of the rows on which `rows` and `stream` stand: out[t * stride + r].
  void multiply(Rows& rows, typename Rows::Stream& stream, float* out, int64_t stride) {
    part_.run == kLongestRun ? multiply_runs<2>(rows, stream) : multiply_runs<1>(rows, stream);
    for (int64_t t = 0; t < tokens_; t += 4) {
      Words of_tokens[4];
      const float* const from = results_[t / kAmxTokens][0] + t % kAmxTokens;
      turn_words(reinterpret_cast<const uint8_t*>(from), kVectorBytes, of_tokens);
      for (int64_t i = 0; i < std::min<int64_t>(4, tokens_ - t); ++i) {
        hn::StoreU(hn::BitCast(kFloatTag, of_tokens[i]), kFloatTag, out + (t + i) * stride);
      }
    }
  }

 private:
  static_assert(kAmxTokens == kLanes && kAmxRows == kLanes);
  static constexpr int64_t kBlocks = kAmxFewTokens / kAmxTokens;
  static constexpr int64_t kMostTiles = kLongestRun / kAmxRowBytes;
  static constexpr RunKind kKind = Rows::kKind;
  static constexpr int64_t kRuns = Rows::kPairs ? 2 : 1;  // of a step

  // A run of the rows, or a pair of them whose codes lie side by side, half a tile each.
  struct Step {
    alignas(64) uint8_t codes[kMostTiles][kAmxRows][kAmxRowBytes];
    alignas(64) int32_t sums[kRuns][kBlocks][kLanes][kAmxTokens];  // exact but for zero points
  };
  // What ends a run, an element for each row.
  struct End {
    alignas(64) float scales[kLanes];
    alignas(64) float minimums[kLanes];
    alignas(64) int32_t zeros[kLanes];
  };

  // While a run becomes tiles and is multiplied, what the one before gives is added.
  template <int kTiles>
  HWY_NOINLINE void multiply_runs(Rows& rows, typename Rows::Stream& stream) {
    std::memset(results_, 0, blocks() * sizeof results_[0]);
    for_each_run(rows, stream, part_.runs, [&](const Codes& units, int64_t run) HWY_ATTR {
      ComingShare(rows, units, run).fetch(0, 1);
      if (run % kRuns == 0) {
        fill<kTiles>(rows, units, run, step_of(run));
        multiply_step<kTiles>(run, step_of(run));
      }
      set_end(rows, run, ends_[run % 2]);
      if (run > 0) add_run(rows, run - 1);
    });
    add_run(rows, part_.runs - 1);
  }

  int64_t blocks() const { return (tokens_ + kAmxTokens - 1) / kAmxTokens; }
  Step& step_of(int64_t run) { return steps_[run / kRuns % 2]; }

  template <int kTiles>
  static HWY_INLINE void fill(Rows& rows, const Codes& units, int64_t run, Step& step) {
    const Tag<uint32_t> d;
    if constexpr (kRuns == 2) {
      HONE_UNROLL for (int64_t r = 0; r < kLanes; ++r) {
        const Words pair = Rows::load_pair(units.bytes + r * units.stride, run);
        hn::Store(pair, d, reinterpret_cast<uint32_t*>(step.codes[0][r]));
      }
    } else {
      constexpr int64_t kVectors = kTiles / Rows::kPerByte;  // of a row
      const Codes codes = rows.codes(units, run);
      HONE_UNROLL for (int64_t r = 0; r < kLanes; ++r) {
        HONE_UNROLL for (int64_t i = 0; i < kVectors; ++i) {
          const uint8_t* const from = codes.bytes + r * codes.stride + i * kVectorBytes;
          const Words words = turn_sign<Rows::kTurnsSign>(d, load_in_order(from));
          store_codes<0>(words, step.codes[i][r], kVectors * sizeof step.codes[0]);
        }
      }
    }
  }

  // Those at each place of their bytes, `distance` bytes apart.
  template <int kCode>
  static HWY_INLINE void store_codes(Words words, uint8_t* to, int64_t distance) {
    const Tag<uint32_t> d;
    hn::Store(pick_codes<Rows::kPerByte, kCode>(d, words), d,
              reinterpret_cast<uint32_t*>(to + kCode * distance));
    if constexpr (kCode + 1 < Rows::kPerByte) store_codes<kCode + 1>(words, to, distance);
  }

  template <int kTiles>
  HWY_INLINE void multiply_step(int64_t run, Step& step) {
    load_tile<4>(step.codes[0], kAmxRowBytes);
    if constexpr (kRuns == 2) load_tile<5>(step.codes[0][0] + part_.run, kAmxRowBytes);
    if constexpr (kTiles == 2) load_tile<5>(step.codes[1], kAmxRowBytes);
    const int8_t* quads = part_.quads + run * part_.run * width_;
    for (int64_t b = 0; b < blocks(); ++b) {
      clear_tile<0>();
      load_tile<6>(quads, 4 * width_);
      add_unsigned_tiles<0, 4, 6>();
      if constexpr (kRuns == 2) {
        clear_tile<1>();
        load_tile<7>(quads + part_.run * width_, 4 * width_);
        add_unsigned_tiles<1, 5, 7>();
        store_tile<1>(step.sums[1][b], kVectorBytes);
      }
      if constexpr (kTiles == 2) {
        load_tile<7>(quads + kAmxRowBytes * width_, 4 * width_);
        add_unsigned_tiles<0, 5, 7>();
      }
      store_tile<0>(step.sums[0][b], kVectorBytes);
      quads += part_.runs * part_.run * width_;
    }
  }

  static HWY_INLINE void set_end(const Rows& rows, int64_t run, End& end) {
    hn::Store(rows.scale(run), kFloatTag, end.scales);
    if constexpr (kKind == RunKind::kMinimum) {
      hn::Store(rows.minimum(run), kFloatTag, end.minimums);
    }
    if (rows.has_zeros()) hn::Store(rows.zeros(run), Tag<int32_t>(), end.zeros);
  }

  HWY_INLINE void add_run(const Rows& rows, int64_t run) {
    for (int64_t b = 0; b < blocks(); ++b) {
      rows.has_zeros() ? add_sums<true>(run, b) : add_sums<false>(run, b);
    }
  }

  // As RunEnd::add does, a lane for each token.
  template <bool kHasZeros>
  HWY_INLINE void add_sums(int64_t run, int64_t b) {
    const Tag<int32_t> d;
    const End& end = ends_[run % 2];
    const auto& sums = step_of(run).sums[run % kRuns][b];
    const int64_t at = (b * part_.runs + run) * width_;
    const Ints x_sums = hn::LoadU(d, part_.sums + at);
    const Floats x_scales = hn::LoadU(kFloatTag, part_.scales + at);
    const Floats all = hn::Mul(hn::ConvertTo(kFloatTag, x_sums), x_scales);
    const Ints offsets = hn::Mul(x_sums, hn::Set(d, Rows::zero()));
    HONE_UNROLL for (int64_t r = 0; r < kLanes; ++r) {
      const Ints zero = kHasZeros ? hn::Mul(x_sums, hn::Set(d, end.zeros[r])) : offsets;
      const Ints exact = hn::Sub(hn::Load(d, sums[r]), zero);
      const Floats term =
          hn::Mul(hn::ConvertTo(kFloatTag, exact), hn::Set(kFloatTag, end.scales[r]));
      float* const to = results_[b][r];
      Floats result = hn::MulAdd(term, x_scales, hn::Load(kFloatTag, to));
      if constexpr (kKind == RunKind::kMinimum) {
        result = hn::MulAdd(hn::Set(kFloatTag, end.minimums[r]), all, result);
      }
      hn::Store(result, kFloatTag, to);
    }
  }

  Int8Part part_;
  int64_t tokens_;
  int64_t width_;  // of a block
  AmxShapes shapes_;
  Step steps_[2];
  End ends_[2];
  alignas(64) float results_[kBlocks][kLanes][kAmxTokens];
};

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
