// Products of many tokens: tiles of kTileRows weight rows are decoded to f32 once and meet the
// tokens kTileTokens at a time, with all sums of a tile in registers. Compiled per target.
//
// Where things lie (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication",
// ACM TOMS 34, 2008): a tile of kPart columns and the tokens that pass by share L1, 11 rows of 4
// kB; a chunk of all tokens of the area stays in L2. Eight rows and three tokens are 11 loads for
// 24 multiply-adds, so the two multiply-add units never wait for the two load units.
//
// Sums that vectors hold, kLanes for one element of the result, are kept from part to part of a
// chunk and added up at its end, kLanes of them at once (sum_each).
#if defined(HONE_CPU_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_TILE_INL_H_
#undef HONE_CPU_TILE_INL_H_
#else
#define HONE_CPU_TILE_INL_H_
#endif

#include "kernels/cpu/decoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

// Where there are 32 registers, 24 sums, 3 tokens and a weight; where there are 16, 12.
constexpr int kTileRows = kManyRegisters ? 8 : 4;
constexpr int kTileTokens = 3;
constexpr int64_t kPart = 1024;              // columns of a tile
constexpr int64_t kTileStride = kPart + 16;  // no two rows in the same sets of L1
constexpr int64_t kAreaTokens = 192;
constexpr int64_t kStepRows =
    std::max<int64_t>(kTileRows, kLanes);  // sums that add_sums takes at once
static_assert(kChunk % kPart == 0);

// What a thread needs to multiply an area.
struct TileMemory {
  alignas(64) float tile[kTileRows * kTileStride];
  alignas(64) float sums[kAreaTokens * kTileRows * kLanes];  // [tokens, kTileRows] vectors
};

// Two rows of bytes, `other` bytes apart, to bring to L2 while multiplying: `step` bytes of each
// for a vector of columns.
struct Prefetcher {
  const std::byte* from;
  int64_t other;
  int64_t step;
};

// sums[t][r] += tile row r times token t, lane by lane, over `count` columns.
template <int kT, bool kFirst>
HWY_NOINLINE void multiply_tile(const float* HWY_RESTRICT tile, const float* HWY_RESTRICT x,
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
      const Floats weight = hn::Load(kFloatTag, tile + r * kTileStride + c);
      HONE_UNROLL for (int t = 0; t < kT; ++t) {
        acc[r][t] = hn::MulAdd(weight, token[t], acc[r][t]);
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

// ---- An area: some rows and at most kAreaTokens tokens.

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
  for (int64_t r = rows; r < kTileRows; ++r) std::fill_n(tile + r * kTileStride, kPart, 0.0f);
}

// The bytes of the rows that come after a tile, two rows at a time; once they have been asked for,
// and behind the last row, the tile itself: no traffic. An address behind the matrix does no harm.
class NextRows {
 public:
  NextRows(const WeightView& w, int64_t row, int64_t begin, int64_t end, const float* tile)
      : pairs_(row < w.rows && !w.mask ? kTileRows / 2 : 0),
        stride_(w.row_stride),
        idle_(reinterpret_cast<const std::byte*>(tile)) {
    if (pairs_ == 0) return;
    const int64_t bytes = payload_row_bytes(w);
    row_ = w.payload + row * stride_ + bytes * begin / w.columns;
    step_ = bytes * (end - begin) / w.columns / (std::min(kPart, end - begin) / kLanes);
  }
  Prefetcher next() {
    if (pairs_ == 0) return {idle_, 0, 0};
    const Prefetcher now{row_, kTileRows / 2 * stride_, step_};
    --pairs_;
    row_ += stride_;
    return now;
  }

 private:
  int64_t pairs_;
  int64_t stride_;
  const std::byte* idle_;
  const std::byte* row_ = nullptr;
  int64_t step_ = 0;
};

// One part of a tile meets all tokens.
template <bool kFirst>
void multiply_part(const float* x, int64_t x_stride, int64_t tokens, int64_t count,
                   TileMemory& memory, NextRows& next) {
  constexpr int64_t kVectors = kTileRows * kLanes;
  int64_t t = 0;
  for (; t + kTileTokens <= tokens; t += kTileTokens) {
    multiply_tile<kTileTokens, kFirst>(memory.tile, x + t * x_stride, x_stride, count, next.next(),
                                       memory.sums + t * kVectors);
  }
  static_assert(kTileTokens == 3);
  const auto rest = tokens - t == 2 ? multiply_tile<2, kFirst> : multiply_tile<1, kFirst>;
  if (t == tokens) return;
  rest(memory.tile, x + t * x_stride, x_stride, count, next.next(), memory.sums + t * kVectors);
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

// Adds the products of the whole vectors of columns. x: the area's first token.
void multiply_tiles(const Decoder& decoder, const float* x, const Area& area, SumsView sums) {
  const WeightView& w = decoder.weight();
  const int64_t whole = whole_columns(w.columns);
  CHECK(area.tokens <= kAreaTokens);
  TileMemory memory;
  for (int64_t begin = 0; begin < whole; begin += kChunk) {
    const int64_t end = std::min(begin + kChunk, whole);
    for (int64_t r = 0; r < area.rows; r += kTileRows) {
      const int64_t rows = std::min<int64_t>(kTileRows, area.rows - r);
      NextRows next(w, area.row + r + kTileRows, begin, end, memory.tile);
      for (int64_t c = begin; c < end; c += kPart) {
        const int64_t part_end = std::min(c + kPart, end);
        fill_tile(decoder, area.row + r, rows, c, part_end, memory.tile);
        const auto part = c == begin ? multiply_part<true> : multiply_part<false>;
        part(x + c, w.columns, area.tokens, part_end - c, memory, next);
      }
      add_sums(memory.sums, rows, area.tokens, {sums.at + r, sums.stride});
    }
  }
}

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
      const Floats products = hn::Mul(hn::LoadU(kFloatTag, weights), hn::LoadU(kFloatTag, token));
      sums.at[t * sums.stride + r] += sum_lanes(products);
    }
  }
}

// sums[t][r] = token t of the area times its row r. x: [tokens, columns], all tokens.
void multiply_floats(const Decoder& decoder, const float* x, const Area& area, SumsView sums) {
  const float* const first = x + area.token * decoder.weight().columns;
  for (int64_t t = 0; t < area.tokens; ++t) std::fill_n(sums.at + t * sums.stride, area.rows, 0.0f);
  if (area.tokens <= decoder.most_dot_tokens()) {
    multiply_by_dot(decoder, first, area, sums);
  } else {
    multiply_tiles(decoder, first, area, sums);
  }
  add_tails(decoder.weight(), first, area, sums);
}

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
