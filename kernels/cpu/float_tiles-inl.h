// Products of BF16 and F16 in tiles (tiles.h) with floats: lanes are rows, so that nothing is
// summed across a vector. A row's result is the sum of its even columns plus that of its odd ones,
// each in the order of columns, whatever comes with it. Compiled per target.
#if defined(HONE_CPU_FLOAT_TILES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_FLOAT_TILES_INL_H_
#undef HONE_CPU_FLOAT_TILES_INL_H_
#else
#define HONE_CPU_FLOAT_TILES_INL_H_
#endif

#include <algorithm>

#include "kernels/cpu/decode-inl.h"
#include "kernels/cpu/tile-inl.h"
#include "kernels/cpu/tiles.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kColumnBytes = 2 * kLanes;  // of a band

// Tokens whose sums, of two bands, fit the registers beside two vectors of weights.
constexpr int kBandTokens = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON ? 6 : 3;

struct BF16Tiles {
  static HWY_INLINE Floats widen(const std::byte* from) { return widen_bf16(from); }
};
struct F16Tiles {
  static HWY_INLINE Floats widen(const std::byte* from) { return widen_f16(from); }
};

// kBands neighbouring bands times kT tokens. x: the first token.
template <class Tiles, int kBands, int kT>
HWY_NOINLINE void multiply_bands(const std::byte* bands, int64_t columns, const float* x,
                                 SumsView to) {
  Floats sums[2][kBands][kT];
  HONE_UNROLL for (int odd = 0; odd < 2; ++odd) {
    HONE_UNROLL for (int b = 0; b < kBands; ++b) {
      HONE_UNROLL for (int t = 0; t < kT; ++t) sums[odd][b][t] = hn::Zero(kFloatTag);
    }
  }
  for (int64_t c = 0; c < columns; c += 2) {
    HONE_UNROLL for (int b = 0; b < kBands; ++b) {
      ask_for_stream(bands + (b * columns + c) * kColumnBytes);
    }
    HONE_UNROLL for (int odd = 0; odd < 2; ++odd) {
      Floats weights[kBands];
      HONE_UNROLL for (int b = 0; b < kBands; ++b) {
        weights[b] = Tiles::widen(bands + (b * columns + c + odd) * kColumnBytes);
      }
      HONE_UNROLL for (int t = 0; t < kT; ++t) {
        const Floats value = hn::Set(kFloatTag, x[t * columns + c + odd]);
        HONE_UNROLL for (int b = 0; b < kBands; ++b) {
          sums[odd][b][t] = hn::MulAdd(weights[b], value, sums[odd][b][t]);
        }
      }
    }
  }
  HONE_UNROLL for (int b = 0; b < kBands; ++b) {
    HONE_UNROLL for (int t = 0; t < kT; ++t) {
      hn::StoreU(hn::Add(sums[0][b][t], sums[1][b][t]), kFloatTag,
                 to.at + t * to.stride + b * kLanes);
    }
  }
}

template <class Tiles, int kBands, int kT = kBandTokens>
HWY_INLINE void multiply_tokens(const std::byte* bands, int64_t columns, const float* x,
                                int64_t tokens, SumsView to) {
  if (tokens == kT) return multiply_bands<Tiles, kBands, kT>(bands, columns, x, to);
  if constexpr (kT > 1) multiply_tokens<Tiles, kBands, kT - 1>(bands, columns, x, tokens, to);
}

// One token: a band at a time, so that memory is one stream.
template <class Tiles>
void multiply_float_tiles(const WeightView& w, const float* x, const Area& area, SumsView to) {
  const int64_t band_bytes = w.columns * kColumnBytes;
  const int64_t step = area.tokens == 1 ? kLanes : 2 * kLanes;
  for (int64_t r = 0; r < area.rows; r += step) {
    const std::byte* const bands = w.tiles + (area.row + r) / kLanes * band_bytes;
    for (int64_t t = 0; t < area.tokens; t += kBandTokens) {
      const int64_t count = std::min<int64_t>(kBandTokens, area.tokens - t);
      const float* const first = x + (area.token + t) * w.columns;
      const SumsView results{to.at + t * to.stride + r, to.stride};
      if (step == kLanes || area.rows - r <= kLanes) {
        multiply_tokens<Tiles, 1>(bands, w.columns, first, count, results);
      } else {
        multiply_tokens<Tiles, 2>(bands, w.columns, first, count, results);
      }
    }
  }
}

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
