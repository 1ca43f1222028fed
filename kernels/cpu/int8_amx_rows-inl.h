// Integer products for few tokens in tile registers: rows are read where they lie, and codes
// become tiles as they come, a row of the matrix to a row of a tile, so that nothing is turned.
// (int8_amx-inl.h has rows in the lanes, this has tokens there.) Codes keep their zero points: one
// side of the instruction is unsigned.
//
// Eight tokens and 4-bit codes by groups of 128, two threads of an Emerald Rapids, from memory that
// gives 30 GB/s: 20 GB/s so, 16 by VNNI, 17.5 with rows in the lanes. Compiled per target.
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
        shapes_(kAmxRows, kAmxRowBytes, std::min(tokens, kAmxTokens)) {}

  // Of the rows on which `rows` and `stream` stand: out[t * stride + r].
  void multiply(Rows& rows, typename Rows::Stream& stream, float* out, int64_t stride) {
    part_.run == kAmxRowBytes ? multiply_runs<1>(rows, stream) : multiply_runs<2>(rows, stream);
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

  // A run of the rows.
  struct Step {
    alignas(64) uint8_t codes[kMostTiles][kAmxRows][kAmxRowBytes];
    alignas(64) float scales[kLanes];
    alignas(64) int32_t zeros[kLanes];
    alignas(64) int32_t sums[kBlocks][kLanes][kAmxTokens];  // exact but for zero points
    int64_t run;
  };

  // While a run becomes tiles and is multiplied, what the one before gives is added.
  template <int kTiles>
  HWY_NOINLINE void multiply_runs(Rows& rows, typename Rows::Stream& stream) {
    std::memset(results_, 0, blocks() * sizeof results_[0]);
    for_each_run(rows, stream, part_.runs, [&](const Codes& units, int64_t run) HWY_ATTR {
      Step& step = steps_[run % 2];
      fill<kTiles>(rows, rows.codes(units, run), ComingShare(rows, units, run), step);
      hn::Store(rows.scale(run), kFloatTag, step.scales);
      if (rows.has_zeros()) hn::Store(rows.zeros(run), Tag<int32_t>(), step.zeros);
      step.run = run;
      multiply_step<kTiles>(step);
      if (run > 0) add_step(rows, steps_[(run - 1) % 2]);
    });
    add_step(rows, steps_[(part_.runs - 1) % 2]);
  }

  int64_t blocks() const { return (tokens_ + kAmxTokens - 1) / kAmxTokens; }

  template <int kTiles>
  static HWY_INLINE void fill(const Rows&, const Codes& codes, const ComingShare& coming,
                              Step& step) {
    constexpr int64_t kVectors = kTiles / Rows::kPerByte;  // of a row
    HONE_UNROLL for (int64_t r = 0; r < kLanes; ++r) {
      coming.fetch(r, kLanes);
      HONE_UNROLL for (int64_t i = 0; i < kVectors; ++i) {
        const uint8_t* const from = codes.bytes + r * codes.stride + i * kVectorBytes;
        const Words words = turn_sign<Rows::kTurnsSign>(Tag<uint32_t>(), load_in_order(from));
        store_codes<0>(words, step.codes[i][r], kVectors * sizeof step.codes[0]);
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
  HWY_INLINE void multiply_step(Step& step) {
    load_tile<4>(step.codes[0], kAmxRowBytes);
    if constexpr (kTiles == 2) load_tile<5>(step.codes[1], kAmxRowBytes);
    const int8_t* quads = part_.quads + step.run * part_.run * width_;
    for (int64_t b = 0; b < blocks(); ++b) {
      clear_tile<0>();
      load_tile<6>(quads, 4 * width_);
      add_unsigned_tiles<0, 4, 6>();
      if constexpr (kTiles == 2) {
        load_tile<7>(quads + kAmxRowBytes * width_, 4 * width_);
        add_unsigned_tiles<0, 5, 7>();
      }
      store_tile<0>(step.sums[b], kVectorBytes);
      quads += part_.runs * part_.run * width_;
    }
  }

  HWY_INLINE void add_step(const Rows& rows, const Step& step) {
    for (int64_t b = 0; b < blocks(); ++b) {
      rows.has_zeros() ? add_sums<true>(step, b) : add_sums<false>(step, b);
    }
  }

  // As RunEnd::add does, a lane for each token.
  template <bool kHasZeros>
  HWY_INLINE void add_sums(const Step& step, int64_t b) {
    const Tag<int32_t> d;
    const int64_t at = (b * part_.runs + step.run) * width_;
    const Ints x_sums = hn::LoadU(d, part_.sums + at);
    const Floats x_scales = hn::LoadU(kFloatTag, part_.scales + at);
    const Ints offsets = hn::Mul(x_sums, hn::Set(d, Rows::zero()));
    HONE_UNROLL for (int64_t r = 0; r < kLanes; ++r) {
      const Ints zero = kHasZeros ? hn::Mul(x_sums, hn::Set(d, step.zeros[r])) : offsets;
      const Ints exact = hn::Sub(hn::Load(d, step.sums[b][r]), zero);
      const Floats term =
          hn::Mul(hn::ConvertTo(kFloatTag, exact), hn::Set(kFloatTag, step.scales[r]));
      float* const to = results_[b][r];
      hn::Store(hn::MulAdd(term, x_scales, hn::Load(kFloatTag, to)), kFloatTag, to);
    }
  }

  Int8Part part_;
  int64_t tokens_;
  int64_t width_;  // of a block
  AmxShapes shapes_;
  Step steps_[2];
  alignas(64) float results_[kBlocks][kLanes][kAmxTokens];
};

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
