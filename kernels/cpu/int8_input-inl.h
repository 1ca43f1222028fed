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
// those at place 1 ...
//
// For tile registers of AMX blocks have kAmxTokens. Quads of kTileQuads are as wide (tile_width).
// kTileTokens has the tokens themselves: bytes [runs][kAmxTokens][run], a token's in the same order
// as quads. Compiled per target.
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

constexpr int64_t kAmxTokens = 16;
// For so many, weights are read where they lie.
constexpr int64_t kAmxFewTokens = 4 * kAmxTokens;
// Of the blocks of TokenOrder::kTileQuads: half as wide takes half of L1.
inline int64_t tile_width(int64_t tokens) {
  return tokens <= kAmxTokens / 2 ? kAmxTokens / 2 : kAmxTokens;
}

inline int64_t block_tokens(const Int8Layout& layout) {
  return layout.order == TokenOrder::kQuads ? kInt8Tokens : kAmxTokens;
}

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

// Of a block of `tokens`, of so many in all.
inline int64_t block_width(const Int8Layout& layout, int64_t tokens, int64_t all) {
  if (layout.order == TokenOrder::kTileQuads) return tile_width(all);
  if (layout.order == TokenOrder::kTileTokens) return kAmxTokens;
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

// x * factor to the nearest integers, ties to even.
HWY_INLINE Ints round_vector(const float* x, float factor) {
  const Floats scaled = hn::Mul(hn::LoadU(kFloatTag, x), hn::Set(kFloatTag, factor));
  return hn::NearestInt(hn::Min(scaled, hn::Set(kFloatTag, 127.0f)));
}

// Columns in turns -> v[place]: those that have this place in their bytes.
#if HWY_TARGET == HWY_SCALAR
template <int kPerByte>
HWY_INLINE void part_places(Ints*) {}  // it has no kernel of integers
#else
template <int kPerByte>
HWY_INLINE void part_places(Ints* v) {
  if constexpr (kPerByte > 1) {
    const Tag<int32_t> d;
    Ints even[2];
    Ints odd[2];
    for (int i = 0; i < kPerByte / 2; ++i) {
      even[i] = hn::ConcatEven(d, v[2 * i + 1], v[2 * i]);
      odd[i] = hn::ConcatOdd(d, v[2 * i + 1], v[2 * i]);
    }
    part_places<kPerByte / 2>(even);
    part_places<kPerByte / 2>(odd);
    for (int i = 0; i < kPerByte / 2; ++i) {
      v[2 * i] = even[i];
      v[2 * i + 1] = odd[i];
    }
  }
}
#endif

// A run as integers in the order of quads. Returns the sums of its halves. count: whole vectors of
// each place.
template <int kPerByte>
std::pair<int32_t, int32_t> round_run(const float* x, int64_t count, float factor, int8_t* out) {
  const Tag<int32_t> d;
  Ints first = hn::Zero(d);
  Ints second = first;
  for (int64_t i = 0; i < count; i += kPerByte * kLanes) {
    Ints v[kPerByte];
    for (int p = 0; p < kPerByte; ++p) {
      v[p] = round_vector(x + i + p * kLanes, factor);
      Ints& sum = 2 * (i + p * kLanes) < count ? first : second;
      sum = hn::Add(sum, v[p]);
    }
    part_places<kPerByte>(v);
    for (int p = 0; p < kPerByte; ++p) {
      hn::StoreU(hn::DemoteTo(Tag<int8_t>(), v[p]), Tag<int8_t>(),
                 out + (p * count + i) / kPerByte);
    }
  }
  return {hn::GetLane(hn::SumOfLanes(d, first)), hn::GetLane(hn::SumOfLanes(d, second))};
}

#if HWY_TARGET != HWY_SCALAR
// Four quads of each of four tokens, kLongestRun bytes apart, to rows of quads `step` bytes apart.
HWY_INLINE void turn_quads(const int8_t* from, int64_t step, int8_t* to) {
  const hn::CappedTag<uint32_t, 4> d;
  const hn::RepartitionToWide<decltype(d)> d64;
  const auto a = load_bytes(d, from);
  const auto b = load_bytes(d, from + kLongestRun);
  const auto c = load_bytes(d, from + 2 * kLongestRun);
  const auto e = load_bytes(d, from + 3 * kLongestRun);
  const auto ab_low = hn::BitCast(d64, hn::InterleaveLower(d, a, b));
  const auto ab_high = hn::BitCast(d64, hn::InterleaveUpper(d, a, b));
  const auto ce_low = hn::BitCast(d64, hn::InterleaveLower(d, c, e));
  const auto ce_high = hn::BitCast(d64, hn::InterleaveUpper(d, c, e));
  const auto store = [to, step](int64_t quad, auto v) HWY_ATTR {
    const hn::CappedTag<int8_t, 16> bytes;
    hn::StoreU(hn::BitCast(bytes, v), bytes, to + quad * step);
  };
  store(0, hn::InterleaveLower(d64, ab_low, ce_low));
  store(1, hn::InterleaveUpper(d64, ab_low, ce_low));
  store(2, hn::InterleaveLower(d64, ab_high, ce_high));
  store(3, hn::InterleaveUpper(d64, ab_high, ce_high));
}
#endif

// Runs of the tokens of a block side by side: [count / 4][width][4].
void place_quads(const int8_t (*runs)[kLongestRun], int64_t count, int64_t tokens, int64_t width,
                 int8_t* to) {
  if (width == 1) return static_cast<void>(std::memcpy(to, runs[0], count));
  int64_t t = 0;
#if HWY_TARGET != HWY_SCALAR
  for (; t + 4 <= tokens; t += 4) {
    for (int64_t i = 0; i < count; i += 16)
      turn_quads(runs[t] + i, 4 * width, to + i * width + 4 * t);
  }
#endif
  for (; t < tokens; ++t) {
    for (int64_t i = 0; i < count; i += 4) std::memcpy(to + i * width + 4 * t, runs[t] + i, 4);
  }
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
    const int64_t first = index * block_tokens(layout);
    const int64_t runs = run_count(layout);
    tokens = std::min(block_tokens(layout), all - first);
    width = block_width(layout, tokens, all);
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
    alignas(64) int8_t runs[kAmxTokens][kLongestRun];
    int8_t* const block = quads + g * layout.run * width;
    const int64_t begin = g * layout.run;
    const int64_t count = std::min(layout.run, layout.columns - begin);
    const bool apart = layout.order == TokenOrder::kTileTokens;
    for (int64_t t = 0; t < tokens; ++t) {
      int8_t* const to = apart ? block + t * layout.run : runs[t];
      round_one(x + t * layout.columns + begin, count, g * width + t, to);
    }
    if (!apart) place_quads(runs, layout.run, tokens, width, block);
  }

 private:
  void round_one(const float* x, int64_t count, int64_t at, int8_t* out) {
    alignas(64) float padded[kLongestRun];
    if (count < layout.run) {
      std::copy_n(x, count, padded);
      std::fill(padded + count, padded + layout.run, 0.0f);
      x = padded;
    }
    if (!layout.per_token) scales[at] = run_step(x, layout.run);
    const float scale = scales[at];
    if (scale > 0 && layout.per_token) {
      alignas(64) float on_grid[kLongestRun];
      hone::cpu::HWY_NAMESPACE::round_token(x, layout.run, scale, false, on_grid);
      round_in_order(on_grid, 1.0f, at, out);
    } else if (scale > 0) {
      round_in_order(x, 1.0f / scale, at, out);
    } else {  // NaN: no integer stands for one
      sums[at] = half_sums[at] = 0;
      std::fill_n(out, layout.run, int8_t{0});
    }
  }

  void round_in_order(const float* x, float factor, int64_t at, int8_t* out) {
    const auto round = layout.per_byte == 1   ? round_run<1>
                       : layout.per_byte == 2 ? round_run<2>
                                              : round_run<4>;
    const auto [first, second] = round(x, layout.run, factor, out);
    half_sums[at] = first;
    sums[at] = first + second;
  }
};

template <typename Vector>
void grow(Vector& v, int64_t size) {
  if (static_cast<int64_t>(v.size()) < size) v.resize(size);
}

constexpr int64_t kRoundGrain = 8192;  // elements worth handing to a thread

inline void round_to_int8(ThreadPool& pool, const Int8Layout& layout, const float* x,
                          int64_t tokens, Int8Tokens& out) {
  const int64_t runs = run_count(layout);
  out.layout = layout;
  const int64_t of_block = block_tokens(layout);
  const int64_t blocks = (tokens + of_block - 1) / of_block;
  const int64_t room = blocks * of_block;
  grow(out.quads, room * runs * layout.run + kLongestRun);  // a vector may reach beyond
  grow(out.scales, room * runs);
  grow(out.sums, room * runs + kLanes);  // likewise
  grow(out.half_sums, room * runs);
  if (layout.per_token) {
    pool.parallel_for(tokens, std::max<int64_t>(1, kRoundGrain / layout.columns),
                      [&](int64_t begin, int64_t end) {
                        for (int64_t t = begin; t < end; ++t) {
                          Int8Block block(out, tokens, t / of_block);
                          block.share_step(x + t * layout.columns, t % of_block);
                        }
                      });
  }
  const int64_t together = std::min(tokens, of_block);
  const int64_t grain = std::max<int64_t>(1, kRoundGrain / (layout.run * together));
  pool.parallel_for(blocks * runs, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Int8Block block(out, tokens, i / runs);
      block.round_run_of_each(x + i / runs * of_block * layout.columns, i % runs);
    }
  });
}

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
