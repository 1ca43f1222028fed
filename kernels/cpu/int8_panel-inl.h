// Integer products for many tokens: codes of kPanelRows rows are turned into panels in L1, which
// meet kInt8Tokens tokens at a time. Compiled per target.
#if defined(HONE_CPU_INT8_PANEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_PANEL_INL_H_
#undef HONE_CPU_INT8_PANEL_INL_H_
#else
#define HONE_CPU_INT8_PANEL_INL_H_
#endif

#include "kernels/cpu/int8_run-inl.h"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kPanelRows = 2 * kLanes;

// A run of kPanelRows rows, [quad][row][4].
template <RunKind kKind>
struct alignas(64) Panel {
  uint32_t words[kLongestRun / 4][2][kLanes];
  RunEnd<kKind> ends[2];
};

template <RunKind kKind>
struct PanelSink {
  Panel<kKind>& panel;
  int side;
  HWY_INLINE void step(int64_t, int64_t) const {}
  template <int kSlot>
  HWY_INLINE void add(int64_t quad, Words codes) {
    hn::StoreU(codes, Tag<uint32_t>(), panel.words[quad][side]);
  }
};

// sums += the quads [begin, end) of a run times kT tokens.
template <RunKind kKind, int kT>
HWY_INLINE void add_quads(const Panel<kKind>& panel, int64_t begin, int64_t end,
                          const int8_t* quads, Ints (&sums)[2][kT]) {
  for (int64_t q = begin; q < end; ++q) {
    const Words first = hn::LoadU(Tag<uint32_t>(), panel.words[q][0]);
    const Words second = hn::LoadU(Tag<uint32_t>(), panel.words[q][1]);
    HONE_UNROLL for (int t = 0; t < kT; ++t) {
      const Words quad = load_quad(quads + (q * kT + t) * 4);
      sums[0][t] = add_products(sums[0][t], first, quad);
      sums[1][t] = add_products(sums[1][t], second, quad);
    }
  }
}

// The first half waits in memory while registers hold the second.
template <RunKind kKind, int kT>
HWY_INLINE void sum_halves(const Panel<kKind>& panel, int64_t quads_of_run, const int8_t* quads,
                           const int32_t* x_sums, const int32_t* x_half_sums, Ints (&sums)[2][kT]) {
  const auto& ends = panel.ends;
  alignas(64) int32_t first[2][kT][kLanes];
  HONE_UNROLL for (int t = 0; t < kT; ++t) sums[0][t] = sums[1][t] = ends[0].start(x_half_sums[t]);
  add_quads(panel, 0, quads_of_run / 2, quads, sums);
  HONE_UNROLL for (int t = 0; t < kT; ++t) {
    HONE_UNROLL for (int side = 0; side < 2; ++side) {
      hn::StoreU(hn::Mul(sums[side][t], ends[side].factors[0]), Tag<int32_t>(), first[side][t]);
    }
    sums[0][t] = sums[1][t] = ends[0].start(x_sums[t] - x_half_sums[t]);
  }
  add_quads(panel, quads_of_run / 2, quads_of_run, quads, sums);
  HONE_UNROLL for (int t = 0; t < kT; ++t) {
    HONE_UNROLL for (int side = 0; side < 2; ++side) {
      sums[side][t] = hn::Add(hn::Mul(sums[side][t], ends[side].factors[1]),
                              hn::LoadU(Tag<int32_t>(), first[side][t]));
    }
  }
}

// out[t * stride + r] += one run of both sides of the panel times kT tokens.
template <RunKind kKind, int kT>
HWY_NOINLINE void multiply_panel(const Panel<kKind>& panel, const Int8Part& x, int64_t run,
                                 float* out, int64_t stride) {
  const RunEnd<kKind>& left = panel.ends[0];
  const RunEnd<kKind>& right = panel.ends[1];
  const int32_t* const x_sums = x.sums + run * kT;
  const float* const x_scales = x.scales + run * kT;
  const int8_t* const quads = x.quads + run * x.run * kT;
  Ints sums[2][kT];
  if constexpr (kKind == RunKind::kHalves) {
    sum_halves(panel, x.run / 4, quads, x_sums, x.half_sums + run * kT, sums);
  } else {
    HONE_UNROLL for (int t = 0; t < kT; ++t) sums[0][t] = sums[1][t] = left.start(x_sums[t]);
    add_quads(panel, 0, x.run / 4, quads, sums);
  }
  if (left.has_zeros) {
    HONE_UNROLL for (int t = 0; t < kT; ++t) {
      sums[0][t] = left.without_zeros(sums[0][t], x_sums[t]);
      sums[1][t] = right.without_zeros(sums[1][t], x_sums[t]);
    }
  }
  HONE_UNROLL for (int t = 0; t < kT; ++t) {
    float* const to = out + t * stride;
    const Floats a = left.add(hn::LoadU(kFloatTag, to), sums[0][t], x_scales[t], x_sums[t]);
    const Floats b =
        right.add(hn::LoadU(kFloatTag, to + kLanes), sums[1][t], x_scales[t], x_sums[t]);
    hn::StoreU(a, kFloatTag, to);
    hn::StoreU(b, kFloatTag, to + kLanes);
  }
}

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
