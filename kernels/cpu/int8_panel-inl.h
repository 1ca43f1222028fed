// Integer products for many tokens: codes of kPanelRows rows are turned into panels in L1, which
// meet kInt8Tokens tokens at a time. Compiled per target.
#if defined(HONE_CPU_INT8_PANEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_PANEL_INL_H_
#undef HONE_CPU_INT8_PANEL_INL_H_
#else
#define HONE_CPU_INT8_PANEL_INL_H_
#endif

#include <utility>

#include "kernels/cpu/int8_run-inl.h"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kPanelRows = 2 * kLanes;

// A run of kPanelRows rows, [quad][row][4].
template <bool kMinimum>
struct alignas(64) Panel {
  uint32_t words[kLongestRun / 4][2][kLanes];
  RunEnd<kMinimum> ends[2];
};

template <bool kMinimum>
struct PanelSink {
  Panel<kMinimum>& panel;
  int side;
  template <int kSlot>
  HWY_INLINE void add(int64_t quad, Words codes) {
    hn::StoreU(codes, Tag<uint32_t>(), panel.words[quad][side]);
  }
};

// out[t * stride + r] += one run of both sides of the panel times kT tokens.
template <bool kMinimum, int kT>
HWY_NOINLINE void multiply_panel(const Panel<kMinimum>& panel, const Int8Part& x, int64_t run,
                                 float* out, int64_t stride) {
  const RunEnd<kMinimum>& left = panel.ends[0];
  const RunEnd<kMinimum>& right = panel.ends[1];
  const int32_t* const x_sums = x.sums + run * kT;
  const float* const x_scales = x.scales + run * kT;
  Ints sums[2][kT];
  HONE_UNROLL for (int t = 0; t < kT; ++t) sums[0][t] = sums[1][t] = left.start(x_sums[t]);
  const int8_t* quads = x.quads + run * x.run * kT;
  for (int64_t q = 0; q < x.run / 4; ++q, quads += 4 * kT) {
    const Words first = hn::LoadU(Tag<uint32_t>(), panel.words[q][0]);
    const Words second = hn::LoadU(Tag<uint32_t>(), panel.words[q][1]);
    HONE_UNROLL for (int t = 0; t < kT; ++t) {
      const Words quad = load_quad(quads + 4 * t);
      sums[0][t] = add_products(sums[0][t], first, quad);
      sums[1][t] = add_products(sums[1][t], second, quad);
    }
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

// By number of tokens: kFunctions[n - 1].
template <bool kMinimum, class Sequence = std::make_index_sequence<kInt8Tokens>>
struct PanelFunctions;
template <bool kMinimum, size_t... kIndex>
struct PanelFunctions<kMinimum, std::index_sequence<kIndex...>> {
  static constexpr decltype(&multiply_panel<kMinimum, 1>) kFunctions[] = {
      &multiply_panel<kMinimum, static_cast<int>(kIndex) + 1>...};
};

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
