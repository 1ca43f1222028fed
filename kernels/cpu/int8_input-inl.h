// Activations as int8, for products of integers: a token is cut into runs (input_run of
// tensor_view.h), each with a scale of its own, and laid out for the instructions that multiply
// four neighbouring bytes at once: a quad is four int8 of one token.
//
// Tokens come in blocks of kInt8Tokens, the last one as wide as it must be (block_width). A block
// of width n has
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
#include <type_traits>
#include <utility>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/decode-inl.h"
#include "kernels/cpu/quantize-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kLongestRun = 128;

// Tokens whose sums fit the registers beside two vectors of weights and one of activations.
constexpr int64_t kInt8Tokens = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON ? 12 : 4;

// How wide blocks can be. Products are compiled for each, so there are only some; what stands in
// the place of tokens that a block does not have is multiplied in vain.
using Int8Widths =
    std::conditional_t<kInt8Tokens == 12, std::integer_sequence<int, 1, 2, 3, 4, 6, 8, 12>,
                       std::integer_sequence<int, 1, 2, 3, 4>>;

// Calls body(std::integral_constant<int, the width of a block with the first of `tokens`>).
template <class Body, int... kWidths>
void with_width(int64_t tokens, const Body& body, std::integer_sequence<int, kWidths...>) {
  const int64_t n = std::min(tokens, kInt8Tokens);
  static_cast<void>(
      ((n <= kWidths && (body(std::integral_constant<int, kWidths>()), true)) || ...));
}
template <class Body>
void with_width(int64_t tokens, const Body& body) {
  with_width(tokens, body, Int8Widths());
}

inline int64_t block_width(int64_t tokens) {
  int64_t width = 0;
  with_width(tokens, [&width](auto n) { width = n; });
  return width;
}

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

// A block being rounded.
struct Int8Block {
  const Int8Layout& layout;
  int64_t tokens;
  int64_t width;
  int8_t* quads;
  float* scales;
  int32_t* sums;
  int32_t* half_sums;

  // Number `index`, of so many tokens in all.
  Int8Block(Int8Tokens& out, int64_t all, int64_t index) : layout(out.layout) {
    const int64_t first = index * kInt8Tokens;
    const int64_t runs = run_count(layout);
    tokens = std::min(kInt8Tokens, all - first);
    width = block_width(tokens);
    quads = out.quads.data() + first * runs * layout.run;
    scales = out.scales.data() + first * runs;
    sums = out.sums.data() + first * runs;
    half_sums = out.half_sums.data() + first * runs;
  }

  // Where runs share it. x: token t.
  void share_step(const float* x, int64_t t) {
    const float step = token_step(x, layout.columns, false);
    for (int64_t g = 0; g < run_count(layout); ++g) scales[g * width + t] = step;
  }

  // Run g of all tokens. x: the first of them.
  void round_run_of_each(const float* x, int64_t g) {
    const int64_t begin = g * layout.run;
    const int64_t count = std::min(layout.run, layout.columns - begin);
    for (int64_t t = 0; t < tokens; ++t) round_one(x + t * layout.columns + begin, count, g, t);
  }

 private:
  void round_one(const float* x, int64_t count, int64_t g, int64_t t) {
    alignas(64) float padded[kLongestRun];
    alignas(64) int8_t integers[kLongestRun];
    if (count < layout.run) {
      std::copy_n(x, count, padded);
      std::fill(padded + count, padded + layout.run, 0.0f);
      x = padded;
    }
    float& scale = scales[g * width + t];
    if (!layout.per_token) scale = run_step(x, layout.run);
    if (scale > 0 && layout.per_token) {
      alignas(64) float on_grid[kLongestRun];
      hone::cpu::HWY_NAMESPACE::round_token(x, layout.run, scale, false, on_grid);
      round_halves(on_grid, 1.0f, g * width + t, integers);
    } else if (scale > 0) {
      round_halves(x, 1.0f / scale, g * width + t, integers);
    } else {  // NaN: no integer stands for one
      sums[g * width + t] = half_sums[g * width + t] = 0;
      std::fill_n(integers, layout.run, int8_t{0});
    }
    alignas(64) int8_t ordered[kLongestRun];
    const int8_t* in_order = ordered;
    if (layout.per_byte == 1) in_order = integers;
    if (layout.per_byte == 2) order_run<2>(integers, layout.run, ordered);
    if (layout.per_byte == 4) order_run<4>(integers, layout.run, ordered);
    scatter_quads(in_order, layout.run, width, quads + (g * layout.run / 4 * width + t) * 4);
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

constexpr int64_t kRoundGrain = 8192;  // elements worth handing to a thread

inline void round_to_int8(ThreadPool& pool, const Int8Layout& layout, const float* x,
                          int64_t tokens, Int8Tokens& out) {
  const int64_t runs = run_count(layout);
  out.layout = layout;
  const int64_t blocks = (tokens + kInt8Tokens - 1) / kInt8Tokens;
  const int64_t room = blocks * kInt8Tokens;
  grow(out.quads, room * runs * layout.run + kLongestRun);  // a vector may reach beyond
  grow(out.scales, room * runs);
  grow(out.sums, room * runs);
  grow(out.half_sums, room * runs);
  if (layout.per_token) {
    pool.parallel_for(tokens, std::max<int64_t>(1, kRoundGrain / layout.columns),
                      [&](int64_t begin, int64_t end) {
                        for (int64_t t = begin; t < end; ++t) {
                          Int8Block block(out, tokens, t / kInt8Tokens);
                          block.share_step(x + t * layout.columns, t % kInt8Tokens);
                        }
                      });
  }
  const int64_t together = std::min(tokens, kInt8Tokens);
  const int64_t grain = std::max<int64_t>(1, kRoundGrain / (layout.run * together));
  pool.parallel_for(blocks * runs, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Int8Block block(out, tokens, i / runs);
      block.round_run_of_each(x + i / runs * kInt8Tokens * layout.columns, i % runs);
    }
  });
}

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
