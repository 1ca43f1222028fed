// Integer products for many tokens in tile registers: an instruction multiplies 16 tokens by 16
// rows and 64 columns of codes, from which the zero point is taken off before, so that they are
// int8.
//
// All codes of some rows stay in L2 while the tokens pass by: kAmxBlocks blocks of them meet
// kAmxBands bands of rows, whose results stay in L1, side by side, run after run. The sums of a
// tile go through memory, since vectors cannot read tile registers: they are added to the results
// when the next ones are on their way. On an Emerald Rapids the two tiles of a run of 128 columns
// take 12 ns, adding their sums 10 ns, and both together 22: they share a port. Compiled per
// target.
#if defined(HONE_CPU_INT8_AMX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_AMX_INL_H_
#undef HONE_CPU_INT8_AMX_INL_H_
#else
#define HONE_CPU_INT8_AMX_INL_H_
#endif

#include "kernels/cpu/amx-inl.h"
#include "kernels/cpu/int8_few-inl.h"
#include "kernels/cpu/int8_run-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kAmxBlocks = kAmxFewTokens / kAmxTokens;
constexpr int64_t kAmxBands = 4;

static_assert(kAmxTokens == kAmxRows && kLanes == kAmxRows);

// Rows in bands of kLanes: codes [bands][runs][run / 4][kLanes][4], and what ends each run.
template <RunKind kKind>
struct AmxBands {
  LineVector<uint32_t> codes;
  LineVector<RunEnd<kKind>> ends;
  int64_t run = 0;
  int64_t runs = 0;

  void resize(int64_t bands, const Int8Layout& layout) {
    run = layout.run;
    runs = run_count(layout);
    grow(codes, bands * runs * run / 4 * kLanes);
    grow(ends, bands * runs);
  }
  uint32_t* codes_at(int64_t band, int64_t at) {
    return codes.data() + (band * runs + at) * run / 4 * kLanes;
  }
  RunEnd<kKind>& end_at(int64_t band, int64_t at) { return ends[band * runs + at]; }
};

// Memory that a thread keeps.
template <RunKind kKind>
AmxBands<kKind>& amx_scratch() {
  thread_local AmxBands<kKind> bands;
  return bands;
}

// Takes the codes of a run of a band; kZero: Rows::zero(). kInPlace: they come from where they lie,
// and what is wanted next is asked for.
template <int32_t kZero, bool kInPlace = false>
struct AmxSink {
  uint32_t* codes;
  ComingShare coming = {};
  HWY_INLINE void step(int64_t part, int64_t parts) const {
    if constexpr (kInPlace) coming.fetch(part, parts);
  }
  HWY_INLINE void ask_ahead(const uint8_t* line) const {
    if constexpr (kInPlace) ask_for_stream(line);
  }
  template <int kSlot>
  HWY_INLINE void add(int64_t quad, Words of_rows) {
    const hn::Repartition<uint8_t, Tag<uint32_t>> d;
    const auto zeros = hn::Set(d, static_cast<uint8_t>(kZero));
    hn::Store(hn::Sub(hn::BitCast(d, of_rows), zeros), d,
              reinterpret_cast<uint8_t*>(codes + quad * kLanes));
  }
};

// What a run of a band ends with, now that zero() is taken off its codes.
template <class Rows>
RunEnd<Rows::kKind> amx_end(const Rows& rows, int64_t run) {
  RunEnd<Rows::kKind> end(rows, run);
  end.zeros = hn::Sub(end.zeros, hn::Set(Tag<int32_t>(), Rows::zero()));
  return end;
}

// A run of a band and some blocks of tokens, the first of them at:
template <RunKind kKind>
struct AmxStep {
  const uint32_t* codes = nullptr;
  const RunEnd<kKind>* end = nullptr;
  const int8_t* tokens = nullptr;
  const float* x_scales = nullptr;
  const int32_t* x_sums = nullptr;
  float* results = nullptr;  // [tokens][kLanes]

  // From one block to the next.
  HWY_INLINE void advance(const Int8Part& part) {
    tokens += part.runs * part.run * kAmxTokens;
    x_scales += part.runs * kAmxTokens;
    x_sums += part.runs * kAmxTokens;
    results += kAmxTokens * kLanes;
  }
};

// What is exact of a step and a block; of kHalves, of each half.
template <RunKind kKind>
class AmxSums {
 public:
  static constexpr int kParts = kKind == RunKind::kHalves ? 2 : 1;
  alignas(64) int32_t part[kParts][kAmxTokens][kLanes];

  // Adds what a step gives to the results of some tokens of a block.
  HWY_INLINE void add(const AmxStep<kKind>& step, const RunEnd<kKind>& end, int64_t tokens) const {
    if (end.has_zeros) {
      add_each<true>(step, end, tokens);
    } else if (tokens == kAmxTokens) {
      add_each<false>(step, end, kAmxTokens);
    } else {
      add_each<false>(step, end, tokens);
    }
  }

 private:
  template <bool kHasZeros>
  HWY_INLINE void add_each(const AmxStep<kKind>& step, const RunEnd<kKind>& end,
                           int64_t tokens) const {
    HONE_UNROLL for (int64_t t = 0; t < tokens; ++t) {
      const int32_t x_sum = step.x_sums[t];
      const Ints sum = kHasZeros ? end.without_zeros(of_token(end, t), x_sum) : of_token(end, t);
      float* const at = step.results + t * kLanes;
      const Floats result = hn::Load(kFloatTag, at);
      hn::Store(end.add(result, sum, step.x_scales[t], x_sum), kFloatTag, at);
    }
  }

  HWY_INLINE Ints of_token(const RunEnd<kKind>& end, int64_t t) const {
    const Tag<int32_t> d;
    const Ints sum = hn::Load(d, part[0][t]);
    if constexpr (kKind != RunKind::kHalves) return sum;
    return hn::Add(hn::Mul(sum, end.factors[0]),
                   hn::Mul(hn::Load(d, part[kParts - 1][t]), end.factors[1]));
  }
};

// The products of some bands and tokens.
template <RunKind kKind>
class AmxProduct {
 public:
  AmxProduct(AmxBands<kKind>& bands, const Int8Part& part, int64_t tokens)
      : bands_(bands),
        part_(part),
        tokens_(tokens),
        shapes_(std::min(tokens, kAmxTokens), std::min(part.run / kParts, kAmxRowBytes), kLanes) {}

  void run(int64_t bands, float* out, int64_t stride) {
    constexpr int64_t kTogether = kAmxBlocks * kAmxTokens;
    for (int64_t t = 0; t < tokens_; t += kTogether) {
      for (int64_t band = 0; band < bands; band += kAmxBands) {
        const Corner corner{.token = t,
                            .tokens = std::min(kTogether, tokens_ - t),
                            .band = band,
                            .bands = std::min(kAmxBands, bands - band),
                            .out = out + t * stride + band * kLanes,
                            .stride = stride};
        has_two_tiles() ? multiply_corner<2>(corner) : multiply_corner<1>(corner);
      }
    }
  }

  // The same of the band on which `rows` and `stream` stand, its codes read where they lie, for up
  // to kAmxFewTokens: those of one corner.
  template <class Rows>
  void run_in_place(Rows& rows, typename Rows::Stream& stream, float* out, int64_t stride) {
    has_two_tiles() ? multiply_in_place<2>(rows, stream, out, stride)
                    : multiply_in_place<1>(rows, stream, out, stride);
  }

 private:
  static constexpr int kParts = AmxSums<kKind>::kParts;

  struct Corner {
    int64_t token;
    int64_t tokens;
    int64_t band;
    int64_t bands;
    float* out;
    int64_t stride;
  };

  // A run is one tile or two; if halves have sums of their own, each is one.
  bool has_two_tiles() const { return part_.run == kAmxRowBytes * 2 || kParts == 2; }

  template <int kTiles, class Rows>
  HWY_NOINLINE void multiply_in_place(Rows& rows, typename Rows::Stream& stream, float* out,
                                      int64_t stride) {
    const Corner corner{
        .token = 0, .tokens = tokens_, .band = 0, .bands = 1, .out = out, .stride = stride};
    std::memset(results_[0], 0, sizeof results_[0]);
    AmxStep<kKind> before;
    for_each_run(rows, stream, part_.runs, [&](const Codes& units, int64_t run) HWY_ATTR {
      AmxSink<Rows::zero(), true> sink{codes_[run % 2][0], ComingShare(rows, units, run)};
      give_codes(rows, rows.codes(units, run), run, part_.run / Rows::kPerByte, sink);
      ends_[run % 2] = amx_end(rows, run);
      const AmxStep<kKind> step = step_of(codes_[run % 2][0], ends_[run % 2], run * kAmxTokens, 0);
      multiply<kTiles>(corner, step, before);
      before = step;
    });
    multiply<kTiles>(corner, {}, before);
    write(corner);
  }

  template <int kTiles>
  void multiply_corner(const Corner& corner) {
    std::memset(results_, 0, sizeof results_);
    AmxStep<kKind> before;
    for (int64_t run = 0; run < part_.runs; ++run) {
      const int64_t at = corner.token * part_.runs + run * kAmxTokens;
      for (int64_t band = 0; band < corner.bands; ++band) {
        const AmxStep<kKind> step = step_of(bands_.codes_at(corner.band + band, run),
                                            bands_.end_at(corner.band + band, run), at, band);
        multiply<kTiles>(corner, step, before);
        before = step;
      }
    }
    multiply<kTiles>(corner, {}, before);
    write(corner);
  }

  void write(const Corner& corner) const {
    for (int64_t t = 0; t < corner.tokens; ++t) {
      for (int64_t band = 0; band < corner.bands; ++band) {
        std::copy_n(results_[band][t], kLanes, corner.out + t * corner.stride + band * kLanes);
      }
    }
  }

  // at: of a run's first token.
  AmxStep<kKind> step_of(const uint32_t* codes, const RunEnd<kKind>& end, int64_t at,
                         int64_t band) {
    return {.codes = codes,
            .end = &end,
            .tokens = part_.quads + at * part_.run,
            .x_scales = part_.scales + at,
            .x_sums = part_.sums + at,
            .results = results_[band][0]};
  }

  // Multiplies a step, if there is one, and adds the sums of the one before it, block by block.
  template <int kTiles>
  HWY_INLINE void multiply(const Corner& corner, AmxStep<kKind> step, AmxStep<kKind> before) {
    const bool multiplies = step.codes != nullptr;
    const RunEnd<kKind> end = before.end ? *before.end : RunEnd<kKind>();
    if (multiplies) {
      load_tile<6>(step.codes, kAmxRowBytes);
      if (kTiles == 2) load_tile<7>(step.codes + part_.run / 8 * kLanes, kAmxRowBytes);
    }
    const auto& waiting = sums_[turn_];
    turn_ = 1 - turn_;
    for (int64_t b = 0; b * kAmxTokens < corner.tokens; ++b) {
      if (multiplies) {
        multiply_block<kTiles>(step.tokens, sums_[turn_][b]);
        step.advance(part_);
      }
      if (before.codes) {
        waiting[b].add(before, end, std::min(kAmxTokens, corner.tokens - b * kAmxTokens));
        before.advance(part_);
      }
    }
  }

  template <int kTiles>
  HWY_INLINE void multiply_block(const int8_t* tokens, AmxSums<kKind>& sums) {
    clear_tile<0>();
    load_tile<4>(tokens, part_.run);
    add_int8_tiles<0, 4, 6>();
    if constexpr (kTiles == 2) {
      constexpr int kSums = kParts == 2 ? 1 : 0;
      if constexpr (kParts == 2) clear_tile<1>();
      load_tile<5>(tokens + part_.run / 2, part_.run);
      add_int8_tiles<kSums, 5, 7>();
    }
    store_tile<0>(sums.part[0], kVectorBytes);
    if constexpr (kParts == 2) store_tile<1>(sums.part[1], kVectorBytes);
  }

  AmxBands<kKind>& bands_;
  Int8Part part_;
  int64_t tokens_;
  AmxShapes shapes_;
  AmxSums<kKind> sums_[2][kAmxBlocks];
  alignas(64) float results_[kAmxBands][kAmxBlocks * kAmxTokens][kLanes];
  int turn_ = 0;
  alignas(64) uint32_t codes_[2][kLongestRun / 4][kLanes];  // in place: of two runs in turns
  RunEnd<kKind> ends_[2];
};

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
