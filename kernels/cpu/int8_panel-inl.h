// Integer products for many tokens: codes of kPanelRows rows are turned into panels, one for each
// run, which stay in L2 while the tokens pass by, kPanelTokens at a time. Both sides are read front
// to back, and all sums and results of a pass stay in registers: those of the next run do not wait
// for memory. Compiled per target.
#if defined(HONE_CPU_INT8_PANEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_PANEL_INL_H_
#undef HONE_CPU_INT8_PANEL_INL_H_
#else
#define HONE_CPU_INT8_PANEL_INL_H_
#endif

#include <vector>

#include "kernels/cpu/int8_run-inl.h"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kPanelRows = 2 * kLanes;
// Tokens whose sums and results fit the registers beside two vectors of weights.
constexpr int kPanelTokens = kInt8Tokens == 12 ? 6 : 2;

// A run of kPanelRows rows, [quad][row][4].
template <RunKind kKind>
struct alignas(64) Panel {
  uint32_t words[kLongestRun / 4][2][kLanes];
  RunEnd<kKind> ends[2];
};

// Memory that a thread keeps: so many panels.
template <RunKind kKind>
Panel<kKind>* panel_scratch(int64_t runs) {
  thread_local std::vector<Panel<kKind>> panels;
  if (std::ssize(panels) < runs) panels.resize(runs);
  return panels.data();
}

template <RunKind kKind>
struct PanelSink {
  Panel<kKind>& panel;
  int side;
  HWY_INLINE void step(int64_t, int64_t) const {}
  HWY_INLINE void ask_ahead(const uint8_t*) const {}
  template <int kSlot>
  HWY_INLINE void add(int64_t quad, Words codes) {
    hn::StoreU(codes, Tag<uint32_t>(), panel.words[quad][side]);
  }
};

// Some tokens of a block: [first, first + kT) of its kWidth.
template <int kT, int kWidth>
struct PanelTokens {
  const Int8Part& part;
  int first;

  HWY_INLINE const int8_t* quads(int64_t run) const {
    return part.quads + (run * part.run * kWidth + first * 4);
  }
  HWY_INLINE int64_t at(int64_t run) const { return run * kWidth + first; }
  HWY_INLINE int64_t block_bytes() const { return part.runs * part.run * kWidth; }
};

// sums += the quads [begin, end) of a run times kT tokens. Those of the next block, `ahead` bytes
// further on, are fetched into L2: behind the last one that does no harm.
template <RunKind kKind, int kT, int kWidth>
HWY_INLINE void add_quads(const Panel<kKind>& panel, int64_t begin, int64_t end,
                          const int8_t* quads, int64_t ahead, Ints (&sums)[2][kT]) {
  for (int64_t q = begin; q < end; ++q) {
    const Words first = hn::LoadU(Tag<uint32_t>(), panel.words[q][0]);
    const Words second = hn::LoadU(Tag<uint32_t>(), panel.words[q][1]);
    __builtin_prefetch(quads + ahead + q * kWidth * 4, 0, 2);
    HONE_UNROLL for (int t = 0; t < kT; ++t) {
      const Words quad = load_quad(quads + (q * kWidth + t) * 4);
      sums[0][t] = add_products<kKind>(sums[0][t], first, quad);
      sums[1][t] = add_products<kKind>(sums[1][t], second, quad);
    }
  }
}

// The exact sums of a run, but for zero points that differ from row to row.
template <RunKind kKind, int kT, int kWidth>
HWY_INLINE void sum_run(const Panel<kKind>& panel, const PanelTokens<kT, kWidth>& tokens,
                        int64_t run, Ints (&sums)[2][kT]) {
  const RunEnd<kKind>& end = panel.ends[0];
  const int32_t* const x_sums = tokens.part.sums + tokens.at(run);
  HONE_UNROLL for (int t = 0; t < kT; ++t) sums[0][t] = sums[1][t] = end.start(x_sums[t]);
  add_quads<kKind, kT, kWidth>(panel, 0, tokens.part.run / 4, tokens.quads(run),
                               tokens.block_bytes(), sums);
}

// The same where halves have factors. The first half waits in memory while registers hold the
// second.
template <int kT, int kWidth>
HWY_INLINE void sum_run(const Panel<RunKind::kHalves>& panel, const PanelTokens<kT, kWidth>& tokens,
                        int64_t run, Ints (&sums)[2][kT]) {
  constexpr RunKind kKind = RunKind::kHalves;
  const auto& ends = panel.ends;
  const int32_t* const x_sums = tokens.part.sums + tokens.at(run);
  const int32_t* const x_half_sums = tokens.part.half_sums + tokens.at(run);
  const int8_t* const quads = tokens.quads(run);
  const int64_t ahead = tokens.block_bytes();
  const int64_t count = tokens.part.run / 4;
  alignas(64) int32_t first[2][kT][kLanes];
  HONE_UNROLL for (int t = 0; t < kT; ++t) sums[0][t] = sums[1][t] = ends[0].start(x_half_sums[t]);
  add_quads<kKind, kT, kWidth>(panel, 0, count / 2, quads, ahead, sums);
  HONE_UNROLL for (int t = 0; t < kT; ++t) {
    HONE_UNROLL for (int side = 0; side < 2; ++side) {
      hn::StoreU(hn::Mul(sums[side][t], ends[side].factors[0]), Tag<int32_t>(), first[side][t]);
    }
    sums[0][t] = sums[1][t] = ends[0].start(x_sums[t] - x_half_sums[t]);
  }
  add_quads<kKind, kT, kWidth>(panel, count / 2, count, quads, ahead, sums);
  HONE_UNROLL for (int t = 0; t < kT; ++t) {
    HONE_UNROLL for (int side = 0; side < 2; ++side) {
      sums[side][t] = hn::Add(hn::Mul(sums[side][t], ends[side].factors[1]),
                              hn::LoadU(Tag<int32_t>(), first[side][t]));
    }
  }
}

// out[t * stride + r] = all runs of both sides of the panels times kT tokens.
template <RunKind kKind, int kT, int kWidth>
HWY_NOINLINE void multiply_panels(const Panel<kKind>* panels, PanelTokens<kT, kWidth> tokens,
                                  float* out, int64_t stride) {
  Floats results[2][kT];
  HONE_UNROLL for (int t = 0; t < kT; ++t) results[0][t] = results[1][t] = hn::Zero(kFloatTag);
  for (int64_t run = 0; run < tokens.part.runs; ++run) {
    const auto& ends = panels[run].ends;
    const int32_t* const x_sums = tokens.part.sums + tokens.at(run);
    const float* const x_scales = tokens.part.scales + tokens.at(run);
    Ints sums[2][kT];
    sum_run(panels[run], tokens, run, sums);
    if (ends[0].has_zeros) {
      HONE_UNROLL for (int t = 0; t < kT; ++t) {
        sums[0][t] = ends[0].without_zeros(sums[0][t], x_sums[t]);
        sums[1][t] = ends[1].without_zeros(sums[1][t], x_sums[t]);
      }
    }
    HONE_UNROLL for (int t = 0; t < kT; ++t) {
      results[0][t] = ends[0].add(results[0][t], sums[0][t], x_scales[t], x_sums[t]);
      results[1][t] = ends[1].add(results[1][t], sums[1][t], x_scales[t], x_sums[t]);
    }
  }
  HONE_UNROLL for (int t = 0; t < kT; ++t) {
    hn::StoreU(results[0][t], kFloatTag, out + t * stride);
    hn::StoreU(results[1][t], kFloatTag, out + t * stride + kLanes);
  }
}

// The same for a block of kWidth tokens.
template <RunKind kKind, int kWidth>
void multiply_block(const Panel<kKind>* panels, const Int8Part& part, float* out, int64_t stride) {
  constexpr int kPasses = (kWidth + kPanelTokens - 1) / kPanelTokens;
  constexpr int kT = (kWidth + kPasses - 1) / kPasses;
  for (int t = 0; t + kT <= kWidth; t += kT) {
    multiply_panels<kKind, kT, kWidth>(panels, {part, t}, out + t * stride, stride);
  }
  constexpr int kRest = kWidth % kT;
  if constexpr (kRest != 0) {
    constexpr int t = kWidth - kRest;
    multiply_panels<kKind, kRest, kWidth>(panels, {part, t}, out + t * stride, stride);
  }
}

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
