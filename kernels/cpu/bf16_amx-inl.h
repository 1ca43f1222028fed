// Products of pairs of BF16 in tile registers: an instruction multiplies 16 rows by up to 16 tokens
// and 32 columns, and adds the products to sums in f32 that stay in a tile for all columns. It adds
// even and odd columns apart and counts subnormal numbers as zero. A token's bytes depend on the
// row alone, so one token is multiplied here as well.
//
// Few tokens: rows lie as tiles want them, and are read in place; meanwhile those that come next
// are fetched into L2, in the order of their addresses. Many: kPackedRows rows are copied to tiles,
// which stay in L2 while the tokens pass by. Compiled per target.
#if defined(HONE_CPU_BF16_AMX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_BF16_AMX_INL_H_
#undef HONE_CPU_BF16_AMX_INL_H_
#else
#define HONE_CPU_BF16_AMX_INL_H_
#endif

#include "kernels/convert.h"
#include "kernels/cpu/amx-inl.h"
#include "kernels/cpu/int8_rows-inl.h"
#include "kernels/cpu/tile-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kTilePairs = kAmxRowBytes / 4;  // of a row
constexpr int64_t kTileFloats = kAmxRows * kTilePairs;
static_assert(kAmxTokens == kAmxRows && kLanes == kAmxRows);

// Tiles that so many pairs fill, the last one padded with zeros.
inline int64_t tiles_of(int64_t pairs) { return (pairs + kTilePairs - 1) / kTilePairs; }

// ---- Tokens: blocks of kAmxTokens, the last one as wide as it must be. A block of width n has
// [tiles][kTilePairs][n] pairs.

inline void round_to_tiles(ThreadPool& pool, int64_t columns, const float* x, int64_t tokens,
                           LineVector<float>& out) {
  constexpr int64_t kPiece = kLongestRun / 2;  // columns that place_quads turns
  const int64_t of_block = tiles_of(columns / 2) * kTileFloats;
  const int64_t blocks = (tokens + kAmxTokens - 1) / kAmxTokens;
  const int64_t pieces = (columns + kPiece - 1) / kPiece;
  grow(out, blocks * of_block);
  pool.parallel_for(blocks * pieces, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i / pieces * kAmxTokens;
      const int64_t n = std::min(kAmxTokens, tokens - first);
      const int64_t c = i % pieces * kPiece;
      const int64_t count = std::min(kPiece, columns - c);
      alignas(64) int8_t rows[kAmxTokens][kLongestRun] = {};
      for (int64_t t = 0; t < n; ++t) {
        narrow_row(DType::kBF16, x + (first + t) * columns + c, count,
                   reinterpret_cast<std::byte*>(rows[t]));
      }
      float* const to = out.data() + i / pieces * of_block + c / 2 * n;
      const int64_t bytes = tiles_of(count / 2) * kAmxRowBytes;
      place_quads(rows, bytes, n, n, reinterpret_cast<int8_t*>(to));
    }
  });
}

// ---- Weights.

// Sums of up to two tiles of rows, [row][token].
struct TileSums {
  alignas(64) float at[2 * kAmxRows][kAmxTokens];
};

// A tile's worth of pairs, the rest zeros.
inline void copy_padded(const std::byte* from, int64_t stride, int64_t rows, int64_t bytes,
                        std::byte* tile) {
  std::memset(tile, 0, kTileFloats * sizeof(float));
  for (int64_t r = 0; r < rows; ++r) {
    std::memcpy(tile + r * kAmxRowBytes, from + r * stride, bytes);
  }
}

// The product of a matrix (as pairs_of gives it) with tokens as round_to_tiles lays them out.
class TilePairs {
 public:
  TilePairs(const WeightView& pairs, const float* tokens)
      : w_(pairs), tokens_(tokens), tiles_(tiles_of(pairs.columns)) {}

  void multiply(const Area& area, SumsView sums) const {
    if (area.tokens > kAmxTokens) return multiply_packed(area, sums);
    for (int64_t r = 0; r < area.rows;) {
      const int64_t rows =
          area.rows - r >= 2 * kAmxRows ? 2 * kAmxRows : std::min(kAmxRows, area.rows - r);
      multiply_in_place(area, r, rows, sums);
      r += rows;
    }
  }

 private:
  static constexpr int64_t kPackedRows = 2 * kAmxRows;

  const float* block(int64_t token) const {
    return tokens_ + token / kAmxTokens * tiles_ * kTileFloats;
  }
  const std::byte* row(int64_t r) const { return w_.payload + r * w_.row_stride; }

  // ---- Few tokens.

  void multiply_in_place(const Area& area, int64_t r, int64_t rows, SumsView sums) const {
    const AmxShapes shapes(std::min(rows, kAmxRows), kAmxRowBytes, area.tokens);
    const float* const tokens = block(area.token);
    TileSums products;
    if (rows > kAmxRows) {
      add_in_place<2>(area.row + r, rows, tokens, area.tokens, products);
    } else {
      add_in_place<1>(area.row + r, rows, tokens, area.tokens, products);
    }
    for (int64_t t = 0; t < area.tokens; ++t) {
      float* const out = sums.at + t * sums.stride + r;
      for (int64_t i = 0; i < rows; ++i) out[i] = products.at[i][t];
    }
  }

  template <int kCount>
  void add_in_place(int64_t first, int64_t rows, const float* tokens, int64_t n,
                    TileSums& products) const {
    constexpr int64_t kTogether = kCount * kAmxRows;
    const std::byte* from = row(first);
    const std::byte* coming = row(first + kTogether);
    const int64_t whole = w_.columns / kTilePairs;
    clear_tile<0>(), clear_tile<1>();
    for (int64_t tile = 0; tile < whole; ++tile, from += kAmxRowBytes) {
      load_tile<6>(tokens + tile * kTilePairs * n, n * 4);
      load_tile<4>(from, w_.row_stride);
      add_bf16_tiles<0, 4, 6>();
      if constexpr (kCount == 2) {
        load_tile<5>(from + kAmxRows * w_.row_stride, w_.row_stride);
        add_bf16_tiles<1, 5, 6>();
      }
      for (int64_t i = 0; i < kTogether; ++i, coming += kLine) __builtin_prefetch(coming, 0, 2);
    }
    if (whole < tiles_) {
      alignas(64) std::byte padded[kTileFloats * sizeof(float)];
      const int64_t bytes = 4 * (w_.columns - whole * kTilePairs);
      load_tile<6>(tokens + whole * kTilePairs * n, n * 4);
      copy_padded(from, w_.row_stride, std::min(rows, kAmxRows), bytes, padded);
      load_tile<4>(padded, kAmxRowBytes);
      add_bf16_tiles<0, 4, 6>();
      if constexpr (kCount == 2) {
        copy_padded(from + kAmxRows * w_.row_stride, w_.row_stride, kAmxRows, bytes, padded);
        load_tile<5>(padded, kAmxRowBytes);
        add_bf16_tiles<1, 5, 6>();
      }
    }
    store_tile<0>(products.at[0], sizeof products.at[0]);
    if constexpr (kCount == 2) store_tile<1>(products.at[kAmxRows], sizeof products.at[0]);
  }

  // ---- Many.

  // Tokens that L2 holds beside the rows of an area meet all of those.
  void multiply_packed(const Area& area, SumsView sums) const {
    constexpr int64_t kTokenBytes = 512 << 10;
    const int64_t together =
        std::max<int64_t>(2, kTokenBytes / (tiles_ * kTileFloats * 4)) / 2 * 2 * kAmxTokens;
    thread_local LineVector<std::byte> packed;
    const int64_t groups = (area.rows + kPackedRows - 1) / kPackedRows;
    const int64_t group_bytes = 2 * tiles_ * kTileFloats * int64_t{sizeof(float)};
    grow(packed, groups * group_bytes);
    for (int64_t g = 0; g < groups; ++g) {
      pack(area.row + g * kPackedRows, std::min(kPackedRows, area.rows - g * kPackedRows),
           packed.data() + g * group_bytes);
    }
    for (int64_t t = 0; t < area.tokens; t += together) {
      const int64_t count = std::min(together, area.tokens - t);
      for (int64_t g = 0; g < groups; ++g) {
        multiply_group(packed.data() + g * group_bytes, area.token + t, count,
                       {sums.at + t * sums.stride + g * kPackedRows, sums.stride});
      }
    }
  }

  // [tiles][2] tiles of rows, of which there may be fewer.
  void pack(int64_t first, int64_t rows, std::byte* to) const {
    const int64_t bytes = 4 * w_.columns;
    for (int64_t r = 0; r < kPackedRows; ++r) {
      std::byte* at = to + r / kAmxRows * kTileFloats * 4 + r % kAmxRows * kAmxRowBytes;
      for (int64_t b = 0; b < tiles_ * kAmxRowBytes; b += kAmxRowBytes) {
        const int64_t count = r < rows ? std::min(kAmxRowBytes, bytes - b) : 0;
        if (count == kAmxRowBytes) {
          const hn::CappedTag<uint8_t, 64> d;
          const auto* const from = reinterpret_cast<const uint8_t*>(row(first + r) + b);
          hn::Store(hn::LoadU(d, from), d, reinterpret_cast<uint8_t*>(at));
        } else {
          std::memset(at, 0, kAmxRowBytes);
          if (count > 0) std::memcpy(at, row(first + r) + b, count);
        }
        at += 2 * kTileFloats * 4;
      }
    }
  }

  void multiply_group(const std::byte* weights, int64_t first, int64_t count, SumsView sums) const {
    int64_t t = 0;
    {
      const AmxShapes shapes(kAmxRows, kAmxRowBytes, kAmxTokens);
      for (; t + 2 * kAmxTokens <= count; t += 2 * kAmxTokens) {
        multiply_blocks<2>(weights, first + t, kAmxTokens,
                           {sums.at + t * sums.stride, sums.stride});
      }
      if (t + kAmxTokens <= count) {
        multiply_blocks<1>(weights, first + t, kAmxTokens,
                           {sums.at + t * sums.stride, sums.stride});
        t += kAmxTokens;
      }
    }
    if (t == count) return;
    const AmxShapes shapes(kAmxRows, kAmxRowBytes, count - t);
    multiply_blocks<1>(weights, first + t, count - t, {sums.at + t * sums.stride, sums.stride});
  }

  // kPackedRows rows times kBlocks blocks of n tokens.
  template <int kBlocks>
  void multiply_blocks(const std::byte* weights, int64_t first, int64_t n, SumsView sums) const {
    const float* tokens = block(first);
    const int64_t next_block = tiles_ * kTileFloats;
    clear_tile<0>(), clear_tile<1>(), clear_tile<2>(), clear_tile<3>();
    for (int64_t tile = 0; tile < tiles_; ++tile) {
      load_tile<6>(tokens, n * 4);
      load_tile<4>(weights, kAmxRowBytes);
      add_bf16_tiles<0, 4, 6>();
      load_tile<5>(weights + kTileFloats * 4, kAmxRowBytes);
      add_bf16_tiles<1, 5, 6>();
      if constexpr (kBlocks == 2) {
        load_tile<7>(tokens + next_block, n * 4);
        add_bf16_tiles<2, 4, 7>();
        add_bf16_tiles<3, 5, 7>();
      }
      tokens += kTilePairs * n;
      weights += 2 * kTileFloats * 4;
    }
    TileSums products;
    store_tile<0>(products.at[0], sizeof products.at[0]);
    store_tile<1>(products.at[kAmxRows], sizeof products.at[0]);
    turn_sums(products, n, sums);
    if constexpr (kBlocks == 2) {
      store_tile<2>(products.at[0], sizeof products.at[0]);
      store_tile<3>(products.at[kAmxRows], sizeof products.at[0]);
      turn_sums(products, n, {sums.at + kAmxTokens * sums.stride, sums.stride});
    }
  }

  // [row][token] -> [token][row]
  static void turn_sums(const TileSums& products, int64_t tokens, SumsView sums) {
    for (int64_t t = 0; t < tokens; t += 4) {
      for (int64_t r = 0; r < kPackedRows; r += kAmxRows) {
        Words words[4];
        turn_words(reinterpret_cast<const uint8_t*>(&products.at[r][t]), sizeof products.at[0],
                   words);
        for (int64_t i = 0; i < std::min<int64_t>(4, tokens - t); ++i) {
          hn::StoreU(hn::BitCast(kFloatTag, words[i]), kFloatTag,
                     sums.at + (t + i) * sums.stride + r);
        }
      }
    }
  }

  const WeightView& w_;
  const float* tokens_;
  int64_t tiles_;
};

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
