// Products of many tokens: weight rows are decoded to f32 once, or copied where a lane holds two
// columns in BF16 (lane-inl.h), and meet the tokens kTileTokens at a time, with all sums of a tile
// of kTileRows rows in registers. Compiled per target.
//
// Where things lie (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication",
// ACM TOMS 34, 2008): a chunk of kAreaRows decoded rows (256 kB) stays in L2 while all tokens of
// the area pass by, kGroupTokens at a time, so that decoding costs next to nothing. What comes next
// is fetched meanwhile: of the weights the next tile, of the tokens the next group. Eight rows and
// three tokens are 11 loads for 24 multiply-adds, so the multiply-add units never wait for the load
// units.
//
// Sums that vectors hold, kLanes for one element of the result, are added up at the end of a chunk,
// kLanes of them at once (sum_each).
#if defined(HONE_CPU_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_TILE_INL_H_
#undef HONE_CPU_TILE_INL_H_
#else
#define HONE_CPU_TILE_INL_H_
#endif

#include <type_traits>

#include "kernels/cpu/caches.h"
#include "kernels/cpu/decoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

// Where there are 32 registers, 24 sums, 3 tokens and a weight; where there are 16, 12.
constexpr int kTileRows = kManyRegisters ? 8 : 4;
constexpr int kTileTokens = 3;
constexpr int64_t kTileStride = kChunk + 16;  // no two rows in the same sets of L1
constexpr int64_t kAreaRows = 32;
constexpr int64_t kGroupTokens = 48;
constexpr int64_t kStepRows =
    std::max<int64_t>(kTileRows, kLanes);  // sums that add_sums takes at once
static_assert(kAreaRows % kTileRows == 0 && kGroupTokens % (2 * kTileTokens) == 0);

// What a thread needs to multiply an area.
struct TileMemory {
  alignas(64) float rows[kAreaRows * kTileStride];
  alignas(64) float sums[kGroupTokens * kTileRows * kLanes];  // [tokens, kTileRows] vectors
};

// Columns that a tile meets a group of tokens with at a time: what L1 holds of its rows and of the
// tokens that pass by. Where it does not hold a good part, L2 must keep pace anyway (on Zen 4,
// with half of Intel's multiply-adds a cycle, it does), and the sums rather stay in registers for
// all of a chunk.
inline int64_t part_columns() {
  constexpr int64_t kPart = 1024;
  constexpr int64_t kBytes = (kTileRows + kTileTokens) * kPart * int64_t{sizeof(float)};
  return level1_bytes() >= kBytes ? kPart : kChunk;
}

// Two rows of bytes, `other` bytes apart, to bring to L2 while multiplying: `step` bytes of each
// for a vector of columns.
struct Prefetcher {
  const std::byte* from;
  int64_t other;
  int64_t step;
};

// One load for several uses: g++ left alone makes it a memory operand of each, and then the load
// units set the pace of a tile.
HWY_INLINE void keep_in_register(Floats& v) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_SSE4
  asm("" : "+v"(v.raw));
#else
  static_cast<void>(v);
#endif
}

// sums[t][r] += tile row r times token t, lane by lane, over `count` columns.
template <class Lane, int kT, bool kFirst>
HWY_INLINE void multiply_tile(const float* HWY_RESTRICT tile, const float* HWY_RESTRICT x,
                              int64_t x_stride, int64_t count, Prefetcher ahead,
                              float* HWY_RESTRICT sums) {
  Floats acc[kTileRows][kT];
  HONE_UNROLL for (int r = 0; r < kTileRows; ++r) {
    HONE_UNROLL for (int t = 0; t < kT; ++t) {
      acc[r][t] =
          kFirst ? hn::Zero(kFloatTag) : hn::Load(kFloatTag, sums + (t * kTileRows + r) * kLanes);
    }
  }
  for (int64_t c = 0; c < count; c += kLanes) {
    __builtin_prefetch(ahead.from, 0, 2);
    __builtin_prefetch(ahead.from + ahead.other, 0, 2);
    ahead.from += ahead.step;
    Floats token[kT];
    HONE_UNROLL for (int t = 0; t < kT; ++t) token[t] = hn::LoadU(kFloatTag, x + t * x_stride + c);
    HONE_UNROLL for (int r = 0; r < kTileRows; ++r) {
      Floats weight = hn::Load(kFloatTag, tile + r * kTileStride + c);
      keep_in_register(weight);
      HONE_UNROLL for (int t = 0; t < kT; ++t) {
        acc[r][t] = Lane::multiply_add(weight, token[t], acc[r][t]);
      }
    }
  }
  HONE_UNROLL for (int r = 0; r < kTileRows; ++r) {
    HONE_UNROLL for (int t = 0; t < kT; ++t) {
      hn::Store(acc[r][t], kFloatTag, sums + (t * kTileRows + r) * kLanes);
    }
  }
}

// ---- The sums of kLanes vectors, one to a lane: the order of sum_lanes for each.

#if HWY_TARGET == HWY_SCALAR
template <int kVectors>
HWY_INLINE Floats sum_each(const float* vectors) {
  return hn::Load(kFloatTag, vectors);
}
#else
// Lanes whose number has bit kBit from b, the others from a.
template <int kBit>
HWY_INLINE Floats select_lanes(Floats a, Floats b) {
  if constexpr (kBit == 1) {
    return hn::OddEven(b, a);
  } else if constexpr (kBit == 2) {
    const hn::RepartitionToWide<hn::RebindToUnsigned<FloatTag>> pairs;
    return hn::BitCast(kFloatTag, hn::OddEven(hn::BitCast(pairs, b), hn::BitCast(pairs, a)));
  } else if constexpr (2 * kBit == kLanes) {
    return hn::ConcatUpperLower(kFloatTag, b, a);
  } else {
    return hn::OddEvenBlocks(b, a);
  }
}

// Each lane gets the one whose number differs in bit kBit.
template <int kBit>
HWY_INLINE Floats swap_lanes(Floats v) {
  if constexpr (kBit == 1) {
    return hn::Shuffle2301(v);
  } else if constexpr (kBit == 2) {
    return hn::Shuffle1032(v);
  } else if constexpr (2 * kBit == kLanes) {
    return hn::ConcatLowerUpper(kFloatTag, v, v);
  } else {
    return hn::SwapAdjacentBlocks(v);
  }
}

// Lane i of the result is the sum of the lanes of vector i, of those that lie kStep vectors apart.
template <int kVectors, int kStep = 1>
HWY_INLINE Floats sum_each(const float* vectors) {
  if constexpr (kVectors == 1) {
    return hn::Load(kFloatTag, vectors);
  } else {
    constexpr int kBit = kLanes / kVectors;
    const Floats a = sum_each<kVectors / 2, 2 * kStep>(vectors);
    const Floats b = sum_each<kVectors / 2, 2 * kStep>(vectors + kStep * kLanes);
    return hn::Add(select_lanes<kBit>(a, b), swap_lanes<kBit>(select_lanes<kBit>(b, a)));
  }
}
#endif

// ---- An area: some rows and some tokens. Tiles take up to kAreaRows rows at once.

struct Area {
  int64_t row;
  int64_t rows;
  int64_t token;
  int64_t tokens;
};

// Where an area's results go: at[t * stride + r].
struct SumsView {
  float* at;
  int64_t stride;
};

void fill_tile(const Decoder& decoder, int64_t row, int64_t rows, int64_t begin, int64_t end,
               float* tile) {
  for (int64_t r = 0; r < rows; ++r) decoder.decode(row + r, begin, end, tile + r * kTileStride);
  for (int64_t r = rows; r < kTileRows; ++r) std::fill_n(tile + r * kTileStride, kChunk, 0.0f);
}

// Rows of bytes that will be wanted, two at a time. An address behind a matrix does no harm.
struct ComingRows {
  const std::byte* first = nullptr;
  int64_t stride = 0;
  int64_t bytes = 0;  // of a row
  int64_t pairs = 0;
};

// Of the tile of weights that starts with `row`, some columns.
ComingRows coming_weights(const WeightView& w, int64_t row, int64_t begin, int64_t end) {
  if (row >= w.rows || w.mask) return {};
  const int64_t bytes = payload_row_bytes(w);
  return {.first = w.payload + row * w.row_stride + bytes * begin / w.columns,
          .stride = w.row_stride,
          .bytes = bytes * (end - begin) / w.columns,
          .pairs = kTileRows / 2};
}

// What is fetched while `steps` vectors of columns of a tile meet a group of tokens, some bytes
// beside each vector; once all has been asked for, the tile itself: no traffic.
class Ahead {
 public:
  Ahead(const ComingRows& weights, const ComingRows& tokens, int64_t steps, const float* tile)
      : rows_{weights, tokens}, steps_(steps), idle_(reinterpret_cast<const std::byte*>(tile)) {}
  Prefetcher next() {
    for (ComingRows& rows : rows_) {
      if (rows.pairs == 0) continue;
      const Prefetcher now{rows.first, rows.stride, rows.bytes / steps_};
      --rows.pairs;
      rows.first += 2 * rows.stride;
      return now;
    }
    return {idle_, 0, 0};
  }

 private:
  ComingRows rows_[2];
  int64_t steps_;
  const std::byte* idle_;
};

// Some tokens, and where their products with a tile go.
struct TokenGroup {
  const float* x;
  int64_t x_stride;
  int64_t tokens;
  float* sums;  // [tokens, kTileRows] vectors
};

// `count` columns of a tile meet a group.
template <class Lane, bool kFirst>
void multiply_part(const float* tile, const TokenGroup& group, int64_t count, Ahead ahead) {
  const auto multiply = [&](auto tokens, int64_t t) HWY_ATTR {
    multiply_tile<Lane, tokens, kFirst>(tile, group.x + t * group.x_stride, group.x_stride, count,
                                        ahead.next(), group.sums + t * kTileRows * kLanes);
  };
  int64_t t = 0;
  for (; t + kTileTokens <= group.tokens; t += kTileTokens) {
    multiply(std::integral_constant<int, kTileTokens>(), t);
  }
  static_assert(kTileTokens == 3);
  if (group.tokens - t == 2) multiply(std::integral_constant<int, 2>(), t);
  if (group.tokens - t == 1) multiply(std::integral_constant<int, 1>(), t);
}

void add_sums(const float* vectors, int64_t rows, int64_t tokens, SumsView sums) {
  constexpr int64_t kTokensAtOnce = kStepRows / kTileRows;
  for (int64_t t = 0; t < tokens; t += kTokensAtOnce) {
    alignas(64) float each[kStepRows];
    for (int64_t i = 0; i < kStepRows; i += kLanes) {
      const float* const from = vectors + (t * kTileRows + i) * kLanes;
      hn::Store(sum_each<static_cast<int>(kLanes)>(from), kFloatTag, each + i);
    }
    for (int64_t k = 0; k < std::min(kTokensAtOnce, tokens - t); ++k) {
      float* const out = sums.at + (t + k) * sums.stride;
      for (int64_t r = 0; r < rows; ++r) out[r] += each[k * kTileRows + r];
    }
  }
}

// The tiles of an area, one after the other.
template <class Lane>
class TileProduct {
 public:
  TileProduct(const Decoder& decoder, const float* x, const Area& area, SumsView sums)
      : decoder_(decoder), w_(decoder.weight()), x_(x), area_(area), sums_(sums) {
    CHECK(area.rows <= kAreaRows);
  }

  // Adds the products of the whole vectors of columns.
  void run() {
    const int64_t whole = whole_columns(w_.columns);
    for (int64_t begin = 0; begin < whole; begin += kChunk) {
      const int64_t end = std::min(begin + kChunk, whole);
      for (int64_t t = 0; t < area_.tokens; t += kGroupTokens) {
        for (int64_t r = 0; r < area_.rows; r += kTileRows) multiply(r, t, begin, end);
      }
    }
  }

 private:
  // The tile at row r of the area and the group at token t, a chunk of columns.
  void multiply(int64_t r, int64_t t, int64_t begin, int64_t end) {
    const int64_t rows = std::min<int64_t>(kTileRows, area_.rows - r);
    float* const tile = memory_.rows + r * kTileStride;
    if (t == 0) fill_tile(decoder_, area_.row + r, rows, begin, end, tile);
    TokenGroup group{.x = nullptr,
                     .x_stride = w_.columns,
                     .tokens = std::min(kGroupTokens, area_.tokens - t),
                     .sums = memory_.sums};
    for (int64_t c = begin; c < end; c += part_) {
      const int64_t count = std::min(part_, end - c);
      group.x = x_ + t * w_.columns + c;
      const auto part = c == begin ? multiply_part<Lane, true> : multiply_part<Lane, false>;
      part(tile + c - begin, group, count, ahead(r, t, c, count));
    }
    add_sums(memory_.sums, rows, group.tokens, {sums_.at + t * sums_.stride + r, sums_.stride});
  }

  // The next tile of weights, if it is not decoded yet, and this tile's share of the next group.
  Ahead ahead(int64_t r, int64_t t, int64_t c, int64_t count) const {
    ComingRows weights;
    if (t == 0) weights = coming_weights(w_, area_.row + r + kTileRows, c, c + count);
    constexpr int64_t kShare = kGroupTokens * kTileRows / kAreaRows;
    const int64_t next = t + kGroupTokens < area_.tokens ? t + kGroupTokens : 0;
    const float* const from = x_ + (next + r / kTileRows * kShare) * w_.columns + c;
    const ComingRows tokens{.first = reinterpret_cast<const std::byte*>(from),
                            .stride = w_.columns * int64_t{sizeof(float)},
                            .bytes = count * int64_t{sizeof(float)},
                            .pairs = kShare / 2};
    return {weights, tokens, count / kLanes, memory_.rows + r * kTileStride};
  }

  const Decoder& decoder_;
  const WeightView& w_;
  const float* x_;  // the area's first token
  const Area& area_;
  SumsView sums_;
  int64_t part_ = part_columns();
  TileMemory memory_;
};

void multiply_by_dot(const Decoder& decoder, const float* x, const Area& area, SumsView sums) {
  const int64_t columns = decoder.weight().columns;
  const int64_t most = decoder.dot_rows(area.tokens);
  for (int64_t r = 0; r < area.rows;) {
    const int64_t rest = area.rows - r;
    const int64_t rows = rest >= most ? most : std::min(rest, kRows);
    decoder.dot(area.row + r, rows, area.tokens,
                {.x = x, .x_stride = columns, .sums = sums.at + r, .sum_stride = sums.stride});
    r += rows;
  }
}

// The last columns % kLanes columns: both sides padded with zeros to one vector.
template <class Lane>
void add_tails(const WeightView& w, const float* x, const Area& area, SumsView sums) {
  const int64_t whole = whole_columns(w.columns);
  const int64_t rest = w.columns - whole;
  if (rest == 0) return;
  for (int64_t r = 0; r < area.rows; ++r) {
    float weights[16] = {};
    decode_tail(w, area.row + r, whole, rest, weights);
    for (int64_t t = 0; t < area.tokens; ++t) {
      float token[16] = {};
      std::copy_n(x + t * w.columns + whole, rest, token);
      const Floats products = Lane::multiply_add(hn::LoadU(kFloatTag, weights),
                                                 hn::LoadU(kFloatTag, token), hn::Zero(kFloatTag));
      sums.at[t * sums.stride + r] += sum_lanes(products);
    }
  }
}

// sums[t][r] = token t of the area times its row r. x: [tokens, columns], all tokens.
template <class Lane>
void multiply_lanes(const Decoder& decoder, const float* x, const Area& area, SumsView sums) {
  const float* const first = x + area.token * decoder.weight().columns;
  for (int64_t t = 0; t < area.tokens; ++t) std::fill_n(sums.at + t * sums.stride, area.rows, 0.0f);
  if (area.tokens <= decoder.most_dot_tokens()) {
    multiply_by_dot(decoder, first, area, sums);
  } else {
    for (int64_t r = 0; r < area.rows; r += kAreaRows) {
      const Area part{.row = area.row + r,
                      .rows = std::min(kAreaRows, area.rows - r),
                      .token = area.token,
                      .tokens = area.tokens};
      TileProduct<Lane>(decoder, first, part, {sums.at + r, sums.stride}).run();
    }
  }
  add_tails<Lane>(decoder.weight(), first, area, sums);
}

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
