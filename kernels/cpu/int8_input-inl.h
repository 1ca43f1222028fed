// Activations as int8, for products of integers: a token is cut into runs (input_run of
// tensor_view.h), each with a scale of its own, and laid out for the instructions that multiply
// four neighbouring bytes at once: a quad is four int8 of one token.
//
// Tokens come in blocks of kInt8Tokens, the last one shorter. A block of n tokens has
//   quads [runs][run / 4][n][4]     scales [runs][n]
//   sums [runs][n], of the integers of a run     half_sums [runs][n], of the first half of them
// one after the other, block after block, so that a block starts at (its first token) * (what one
// token takes). Where a weight's byte holds `per_byte` codes, one mask picks every per_byte-th code
// of a vector; quads hold the columns in that order, first those at place 0 of their bytes, then
// those at place 1 ... Compiled per target.
#if defined(HONE_CPU_INT8_INPUT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_INPUT_INL_H_
#undef HONE_CPU_INT8_INPUT_INL_H_
#else
#define HONE_CPU_INT8_INPUT_INL_H_
#endif

#include <cmath>
#include <cstring>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/decode-inl.h"
#include "kernels/cpu/quantize-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kLongestRun = 128;

// Tokens whose sums fit the registers beside two vectors of weights and one of activations.
constexpr int64_t kInt8Tokens = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON ? 12 : 4;

inline int64_t run_count(const Int8Layout& layout) {
  return (layout.columns + layout.run - 1) / layout.run;
}

// What a run is rounded with: the largest value becomes 127. NaN where a value is not finite.
inline float run_step(const float* x, int64_t count) {
  const float step = largest_magnitude(x, count) / 127.0f;
  if (!std::isfinite(step)) return std::numeric_limits<float>::quiet_NaN();
  return step < std::numeric_limits<float>::min() ? std::numeric_limits<float>::epsilon() : step;
}

// x * factor to the nearest integers, ties to even. Returns their sum. count: a multiple of kLanes.
inline int32_t round_run(const float* x, int64_t count, float factor, int8_t* out) {
  const Tag<int32_t> d;
  Ints sum = hn::Zero(d);
  for (int64_t i = 0; i < count; i += kLanes) {
    const Floats scaled = hn::Mul(hn::LoadU(kFloatTag, x + i), hn::Set(kFloatTag, factor));
    const Ints rounded = hn::NearestInt(hn::Min(scaled, hn::Set(kFloatTag, 127.0f)));
    sum = hn::Add(sum, rounded);
    hn::StoreU(hn::DemoteTo(Tag<int8_t>(), rounded), Tag<int8_t>(), out + i);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

// The integers of a run in the order of quads.
template <int kPerByte>
HWY_INLINE void order_run(const int8_t* run, int64_t count, int8_t* out) {
  const int64_t bytes = count / kPerByte;
  for (int64_t place = 0; place < kPerByte; ++place) {
    for (int64_t b = 0; b < bytes; ++b) out[place * bytes + b] = run[b * kPerByte + place];
  }
}

// Where n tokens share a block, quads of one token are n quads apart.
HWY_INLINE void scatter_quads(const int8_t* ordered, int64_t count, int64_t n, int8_t* to) {
  if (n == 1) {
    std::memcpy(to, ordered, count);
    return;
  }
  for (int64_t i = 0; i < count; i += 4, to += 4 * n) std::memcpy(to, ordered + i, 4);
}

// A block being rounded: n tokens from `first` on.
struct Int8Block {
  const Int8Layout& layout;
  int64_t n;
  int8_t* quads;
  float* scales;
  int32_t* sums;
  int32_t* half_sums;

  void round_token(const float* x, int64_t t) {
    const float shared = layout.per_token ? token_step(x, layout.columns, false) : 0;
    for (int64_t g = 0; g < run_count(layout); ++g) {
      const int64_t begin = g * layout.run;
      round_one(x + begin, std::min(layout.run, layout.columns - begin), shared, g, t);
    }
  }

 private:
  void round_one(const float* x, int64_t count, float scale, int64_t g, int64_t t) {
    alignas(64) float padded[kLongestRun];
    alignas(64) int8_t integers[kLongestRun];
    if (count < layout.run) {
      std::copy_n(x, count, padded);
      std::fill(padded + count, padded + layout.run, 0.0f);
      x = padded;
    }
    if (!layout.per_token) scale = run_step(x, layout.run);
    scales[g * n + t] = scale;
    if (scale > 0 && layout.per_token) {
      alignas(64) float on_grid[kLongestRun];
      hone::cpu::HWY_NAMESPACE::round_token(x, layout.run, scale, false, on_grid);
      round_halves(on_grid, 1.0f, g * n + t, integers);
    } else if (scale > 0) {
      round_halves(x, 1.0f / scale, g * n + t, integers);
    } else {  // NaN: no integer stands for one
      sums[g * n + t] = half_sums[g * n + t] = 0;
      std::fill_n(integers, layout.run, int8_t{0});
    }
    alignas(64) int8_t ordered[kLongestRun];
    const int8_t* in_order = ordered;
    if (layout.per_byte == 1) in_order = integers;
    if (layout.per_byte == 2) order_run<2>(integers, layout.run, ordered);
    if (layout.per_byte == 4) order_run<4>(integers, layout.run, ordered);
    scatter_quads(in_order, layout.run, n, quads + (g * layout.run / 4 * n + t) * 4);
  }

  void round_halves(const float* x, float factor, int64_t at, int8_t* out) {
    const int64_t half = layout.run / 2;
    half_sums[at] = round_run(x, half, factor, out);
    sums[at] = half_sums[at] + round_run(x + half, half, factor, out + half);
  }
};

template <typename T>
void grow(std::vector<T>& v, int64_t size) {
  if (static_cast<int64_t>(v.size()) < size) v.resize(size);
}

inline void round_to_int8(ThreadPool& pool, const Int8Layout& layout, const float* x,
                          int64_t tokens, Int8Tokens& out) {
  const int64_t runs = run_count(layout);
  out.layout = layout;
  grow(out.quads, tokens * runs * layout.run + kLongestRun);  // a vector may reach beyond
  grow(out.scales, tokens * runs);
  grow(out.sums, tokens * runs);
  grow(out.half_sums, tokens * runs);
  const int64_t blocks = (tokens + kInt8Tokens - 1) / kInt8Tokens;
  pool.parallel_for(blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t first = begin * kInt8Tokens; first < std::min(end * kInt8Tokens, tokens);
         first += kInt8Tokens) {
      Int8Block block{.layout = layout,
                      .n = std::min(kInt8Tokens, tokens - first),
                      .quads = out.quads.data() + first * runs * layout.run,
                      .scales = out.scales.data() + first * runs,
                      .sums = out.sums.data() + first * runs,
                      .half_sums = out.half_sums.data() + first * runs};
      for (int64_t t = 0; t < block.n; ++t) block.round_token(x + (first + t) * layout.columns, t);
    }
  });
}

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
