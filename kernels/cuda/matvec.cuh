// Products of 1 to 16 tokens: weights stream from memory once, in the order they lie there, into
// tensor cores.
//
// A block takes 16 rows of a matrix at a time, a tile; each of its warps takes one strip of the
// columns, from all tiles of the block. A warp's loads run several 64-byte segments ahead, through
// a ring in shared memory, across the ends of tiles: memory never waits for sums.
//
// Within a strip mma.m16n8k16 multiplies 16 rows by 8 columns: for each of 4 tokens two 16-bit
// floats that add up to an activation, to 16 bits of precision with bf16 weights and 22 with the
// others, which are exact in f16. Sums are f32. An f16 has a range of its own: each strip of a
// token is multiplied by a power of two that brings its largest number below 2^15. Which column of
// the segment meets which k of the mma is free as long as weights and activations agree: a lane
// loads 16 bytes of a row and multiplies them where they are.
//
// Each number comes from sums in one order, by strip, then of the strips, which depends on the
// shape of the matrix alone: a token gets the same bytes in any company.
#pragma once

#include <algorithm>

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/dequant.cuh"
#include "kernels/cuda/products.h"

namespace hone::cuda {

// One of the matrices of a product.
struct MatvecMatrix {
  const std::byte* payload;
  const std::byte* scales;
  const int8_t* zeros;
  const float* bias;
  float* out;
  int64_t out_stride;
  int64_t rows;
  int64_t first_tile;  // where tiles of all matrices are counted through
};

struct MatvecArgs {
  const float* x;
  const float* norm;  // or null
  float eps;
  bool vectors;  // x and norm can be read by 16 bytes
  const float* token_scale;
  const float* residual;
  Activation activation;
  bool gated;
  int tokens;
  int matrices;
  int64_t columns;
  int64_t row_stride;
  int64_t tiles;  // of the first matrix where gated, else of all
  int prefetch;   // segments of each strip
  DType scale_type;
  int group;   // columns
  int groups;  // a row
  MatvecMatrix matrix[3];
};

// How scales apply: to whole rows; one to a segment of a row; one to each word that a lane loads.
enum class Scaling { kRow, kSegment, kWord };

namespace matvec_detail {

using namespace simt;

constexpr int kTileRows = 16;
constexpr int kSegmentBytes = 64;
constexpr int kBlockColumns = 32;  // that two mma take
constexpr int kTileTokens = 4;     // of one mma

// Of one segment: what scales 16 rows.
template <Scaling kScaling>
struct StageScales {
  static constexpr int kScaleWords = kScaling == Scaling::kSegment ? 1 : 4;
  static constexpr int kZeroWords = (kScaleWords + 1) / 2;
  uint32_t scales[kTileRows][kScaleWords];
  uint32_t zeros[kTileRows][kZeroWords];
};
template <>
struct StageScales<Scaling::kRow> {};

// What a warp has in flight of one segment.
template <Scaling kScaling>
struct alignas(16) Stage : StageScales<kScaling> {
  uint32_t elements[2][kWarpSize][4];
};

// Where things lie in a block's shared memory.
struct Shared {
  int64_t fragments;  // 16-byte units: [32-column blocks][tokens][2 parts][4]
  int64_t partial;    // floats: [2][matrices of a tile][strips][tokens][16]
  int64_t squares;    // floats: [strips][tokens]
  int64_t bytes;
};
constexpr Shared shared_of(int64_t ring_bytes, int64_t row_stride, int columns, int strips,
                           int tokens, int matrices) {
  Shared at{};
  at.fragments = ring_bytes;
  at.partial = at.fragments + row_stride / kSegmentBytes * columns * 4 * tokens;
  at.squares = at.partial + 4 * 2 * matrices * strips * tokens * kTileRows;
  at.bytes = at.squares + 4 * strips * tokens;
  return at;
}

// ---- Activations as B fragments.

struct Eight {
  float v[8];
};

// The first of each four columns that lane t of a quad multiplies in a block of 32.
template <Form F>
__device__ __forceinline__ int fragment_column(int t, int four) {
  if constexpr (F == Form::kI8 || F == Form::kF8) return 16 * four + 4 * t;
  return 8 * t + 4 * four;
}

// kInside: all of the strip lies inside the row, and can be read by 16 bytes.
template <Form F, bool kInside>
__device__ __forceinline__ Eight load_eight(const float* row, int64_t columns, int64_t block) {
  Eight x;
#pragma unroll
  for (int four = 0; four < 2; ++four) {
    const int64_t column = block * kBlockColumns + fragment_column<F>(lane_id() % 4, four);
    if constexpr (kInside) {
      const Vec<float, 4> v = load<4>(row + column);
#pragma unroll
      for (int i = 0; i < 4; ++i) x.v[4 * four + i] = v[i];
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        x.v[4 * four + i] = column + i < columns ? row[column + i] : 0.0f;
      }
    }
  }
  return x;
}

__device__ __forceinline__ bool is_finite(float v) {
  return (bits<uint32_t>(v) & 0x7f800000) != 0x7f800000;
}

// Two numbers as pairs of 16-bit floats whose sum they are, high halves and low. An infinity has no
// low half.
template <Form F>
__device__ __forceinline__ void split(float a, float b, uint32_t* high, uint32_t* low) {
  float high_a, high_b;
  if constexpr (F == Form::kBF16) {
    *high = bf16x2_pack(a, b);
    high_a = bits<float>(*high << 16);
    high_b = bits<float>(*high & 0xffff0000);
  } else {
    *high = f16x2_pack(a, b);
    high_a = detail::f16_to_float(static_cast<uint16_t>(*high));
    high_b = detail::f16_to_float(static_cast<uint16_t>(*high >> 16));
  }
  const float low_a = is_finite(high_a) ? a - high_a : 0.0f;
  const float low_b = is_finite(high_b) ? b - high_b : 0.0f;
  *low = F == Form::kBF16 ? bf16x2_pack(low_a, low_b) : f16x2_pack(low_a, low_b);
}

// The elements of pair i of 4 in the order that decoding gives weights in.
template <Form F>
__device__ __forceinline__ int pair_element(int i, int half) {
  if constexpr (F == Form::kI4) return i + 4 * half;
  if constexpr (F == Form::kI8) return i / 2 * 4 + i % 2 + 2 * half;
  return 2 * i + half;
}

// A factor 2^n that brings `largest` into [2^14, 2^15), as far as floats reach.
__device__ __forceinline__ float range_factor(float largest) {
  const int exponent = static_cast<int>(bits<uint32_t>(largest) >> 23);
  const int wanted = 127 + 14 + 127 - exponent;
  return bits<float>(static_cast<uint32_t>(wanted > 253 ? 253 : wanted) << 23);
}
__device__ __forceinline__ float inverse_of_power(float factor) {
  return bits<float>((254u << 23) - bits<uint32_t>(factor));
}

// One warp's strip of one token.
template <Form F, bool kInside>
struct TokenStrip {
  static constexpr int kStep = kWarpSize / 4;  // blocks of columns that a warp turns at once
  static constexpr int kBatch = 4;             // of these, loaded together

  const MatvecArgs& args;
  const float* row;
  int64_t first;  // block of columns
  int blocks;
  Eight x[kBatch];
  float squares = 0;  // of this lane's activations before the norm

  __device__ __forceinline__ int block_of(int base, int i) const {
    return base + i * kStep + lane_id() / 4;
  }

  // Loads activations times the norm's weight. All loads are on their way before the first is used.
  __device__ __forceinline__ void load_batch(int base, bool count_squares) {
    Eight weight[kBatch];
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int b = block_of(base, i) < blocks ? block_of(base, i) : blocks - 1;
      x[i] = load_eight<F, kInside>(row, args.columns, first + b);
      if (args.norm) weight[i] = load_eight<F, kInside>(args.norm, args.columns, first + b);
    }
    if (!args.norm) return;
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const bool counts = count_squares && block_of(base, i) < blocks;
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        if (counts) squares += x[i].v[e] * x[i].v[e];
        x[i].v[e] *= weight[i].v[e];
      }
    }
  }

  __device__ __forceinline__ float largest() {
    float most = 0;
    for (int base = 0; base < blocks; base += kBatch * kStep) {
      load_batch(base, true);
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
#pragma unroll
        for (int e = 0; e < 8; ++e) {
          const float magnitude = fabsf(x[i].v[e]);
          if (is_finite(magnitude) && magnitude > most) most = magnitude;
        }
      }
    }
    return warp_max(most);
  }

  // to: this lane's unit in the first block; blocks are block_words apart.
  __device__ __forceinline__ void write(float factor, uint32_t* to, int block_words) {
    for (int base = 0; base < blocks; base += kBatch * kStep) {
      if (F == Form::kBF16 || blocks > kBatch * kStep) load_batch(base, F == Form::kBF16);
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        if (block_of(base, i) >= blocks) break;
        Vec<uint32_t, 4> parts[2];
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          split<F>(x[i].v[pair_element<F>(e, 0)] * factor, x[i].v[pair_element<F>(e, 1)] * factor,
                   &parts[0][e], &parts[1][e]);
        }
        store(to + block_of(base, i) * block_words, parts[0]);
        store(to + block_of(base, i) * block_words + 16, parts[1]);
      }
    }
  }
};

// One warp turns its strip of one token into fragments. Returns what undoes the strip's factor;
// *squares: their sum over the strip.
template <Form F, bool kInside>
__device__ __forceinline__ float prepare_token(const MatvecArgs& args, int token, int64_t first,
                                               int blocks, uint32_t* fragments, float* squares) {
  TokenStrip<F, kInside> strip{args, args.x + token * args.columns, first, blocks, {}, 0};
  const float factor = F == Form::kBF16 ? 1.0f : range_factor(strip.largest());
  strip.write(factor, fragments + (token * 8 + lane_id() % 4) * 4, args.tokens * 32);
  *squares = warp_sum(strip.squares);
  return inverse_of_power(factor);
}

// ---- The stream of weights.

// A warp's place in its part of the matrices: the segments of one strip, tile after tile.
struct Place {
  int64_t tile;
  int matrix;  // of a gated pair
  int segment;
  int column;  // within its group
  int group;
};

// What a warp multiplies: a strip of the columns, of some tiles.
struct Strip {
  int first;  // segment
  int count;
  int column;  // of its first segment, within its group
  int group;
  int64_t first_tile;
  int64_t end_tile;
  int tile_step;

  __device__ __forceinline__ Place begin() const { return {first_tile, 0, 0, column, group}; }
};

__device__ __forceinline__ Strip strip_of(const MatvecArgs& args, int segment_columns, int index,
                                          int strips, int64_t first_tile, int64_t end_tile,
                                          int tile_step) {
  const int segments = static_cast<int>(args.row_stride / kSegmentBytes);
  Strip strip;
  strip.first = static_cast<int>(int64_t{segments} * index / strips);
  strip.count = static_cast<int>(int64_t{segments} * (index + 1) / strips) - strip.first;
  strip.column = args.group ? strip.first * segment_columns % args.group : 0;
  strip.group = args.group ? strip.first * segment_columns / args.group : 0;
  strip.first_tile = first_tile;
  strip.end_tile = end_tile;
  strip.tile_step = tile_step;
  return strip;
}

// Which matrix a tile belongs to.
__device__ __forceinline__ int matrix_of(const MatvecArgs& args, int64_t tile) {
  int i = 0;
  if (!args.gated) {
    while (i + 1 < args.matrices && tile >= args.matrix[i + 1].first_tile) ++i;
  }
  return i;
}

struct Rows {
  const MatvecMatrix* matrix;
  int64_t first;
};
__device__ __forceinline__ Rows rows_of(const MatvecArgs& args, int64_t tile, int pair) {
  const int i = args.gated ? pair : matrix_of(args, tile);
  const int64_t in_matrix = args.gated ? tile : tile - args.matrix[i].first_tile;
  return {args.matrix + i, in_matrix * kTileRows};
}
__device__ __forceinline__ int64_t clamped(int64_t row, int64_t rows) {
  return row < rows ? row : rows - 1;
}

// Moves to the next segment; true where it begins another tile.
template <Form F>
__device__ __forceinline__ bool advance(Place& place, const Strip& strip, const MatvecArgs& args) {
  if (++place.segment < strip.count) {
    place.column += segment_columns(F);
    while (place.column >= args.group && place.group + 1 < args.groups) {
      place.column -= args.group;
      ++place.group;
    }
    return false;
  }
  place.segment = 0;
  place.column = strip.column;
  place.group = strip.group;
  if (args.gated && place.matrix == 0) {
    place.matrix = 1;
  } else {
    place.matrix = 0;
    place.tile += strip.tile_step;
  }
  return true;
}

// Issues loads, in order, one stage at a time.
template <Form F, Scaling kScaling>
struct Loader {
  const std::byte* elements[2];
  Rows rows;
  Place place;

  __device__ __forceinline__ void find_rows(const MatvecArgs& args, const Strip& strip) {
    if (place.tile >= strip.end_tile) return;
    rows = rows_of(args, place.tile, place.matrix);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t row = clamped(rows.first + lane_id() / 4 + 8 * half, rows.matrix->rows);
      elements[half] = rows.matrix->payload + row * args.row_stride +
                       int64_t{strip.first} * kSegmentBytes + lane_id() % 4 * 16;
    }
  }

  // The word of 4 bytes with byte `at` of an array of `bytes`, and what lies `words` after it.
  __device__ __forceinline__ static const std::byte* word(const void* array, int64_t at, int words,
                                                          int64_t bytes) {
    const int64_t from = (at & ~int64_t{3}) + 4 * words;
    return static_cast<const std::byte*>(array) + (from < bytes ? from : at & ~int64_t{3});
  }

  __device__ __forceinline__ void load_scales(const MatvecArgs& args, Stage<kScaling>& stage) {
    using S = Stage<kScaling>;
    constexpr int kLanes = kScaling == Scaling::kSegment ? 1 : 2;  // of a row
    const int r = lane_id() / kLanes, part = lane_id() % kLanes;
    if (r >= kTileRows) return;
    const int64_t at = clamped(rows.first + r, rows.matrix->rows) * args.groups + place.group;
    const int64_t count = rows.matrix->rows * args.groups;
    const int size = args.scale_type == DType::kF32 ? 4 : 2;
#pragma unroll
    for (int i = part; i < S::kScaleWords; i += kLanes) {
      cp_async<4>(&stage.scales[r][i], word(rows.matrix->scales, at * size, i, count * size));
    }
    if (rows.matrix->zeros) {
#pragma unroll
      for (int i = part; i < S::kZeroWords; i += kLanes) {
        cp_async<4>(&stage.zeros[r][i], word(rows.matrix->zeros, at, i, count));
      }
    }
  }

  __device__ __forceinline__ void issue(const MatvecArgs& args, const Strip& strip,
                                        Stage<kScaling>& stage) {
    if (place.tile < strip.end_tile && strip.count > 0) {
      cp_async<16>(stage.elements[0][lane_id()], elements[0]);
      cp_async<16>(stage.elements[1][lane_id()], elements[1]);
      if constexpr (kScaling != Scaling::kRow) load_scales(args, stage);
      elements[0] += kSegmentBytes;
      elements[1] += kSegmentBytes;
      if (advance<F>(place, strip, args)) find_rows(args, strip);
    }
    cp_async_commit();
  }
};

// Asks the L2 cache for what the loads of the first tile come to after `ahead` segments, and for
// the norm's weight: work for memory while the kernel ahead ends and activations are prepared.
__device__ __forceinline__ void prefetch(const MatvecArgs& args, const Rows& rows,
                                         const Strip& strip, int ahead) {
  if (strip.count == 0 || lane_id() >= kTileRows) return;
  const int wanted = strip.count - ahead < args.prefetch ? strip.count - ahead : args.prefetch;
  if (wanted > 0) {
    const int64_t row = clamped(rows.first + lane_id(), rows.matrix->rows);
    prefetch_l2(
        rows.matrix->payload + row * args.row_stride + int64_t{strip.first + ahead} * kSegmentBytes,
        static_cast<unsigned>(wanted * kSegmentBytes));
  }
}

// ---- Multiplying.

// A fragments of one 32-column block, or half of one, from the j-th words of two rows.
template <Form F>
__device__ __forceinline__ void mma_words(float (&sum)[4], uint32_t row0, uint32_t row1,
                                          const CodeOffset (&offset)[2], const uint32_t* b) {
  if constexpr (F == Form::kI4) {
    uint32_t w0[4], w1[4];
    decode_i4(row0, offset[0], w0);
    decode_i4(row1, offset[1], w1);
    mma<f16>(sum, {w0[0], w1[0], w0[1], w1[1]}, {b[0], b[1]});
    mma<f16>(sum, {w0[2], w1[2], w0[3], w1[3]}, {b[2], b[3]});
  } else {
    uint32_t w0[2], w1[2];
    if constexpr (F == Form::kI8) {
      decode_i8(row0, offset[0], w0);
      decode_i8(row1, offset[1], w1);
    } else {
      decode_f8(row0, w0);
      decode_f8(row1, w1);
    }
    mma<f16>(sum, {w0[0], w1[0], w0[1], w1[1]}, {b[0], b[1]});
  }
}

template <Form F>
__device__ __forceinline__ void mma_floats(float (&sum)[4], const Vec<uint32_t, 4>& row0,
                                           const Vec<uint32_t, 4>& row1, const uint32_t* b) {
  using T = std::conditional_t<F == Form::kBF16, bf16, f16>;
  mma<T>(sum, {row0[0], row1[0], row0[1], row1[1]}, {b[0], b[1]});
  mma<T>(sum, {row0[2], row1[2], row0[3], row1[3]}, {b[2], b[3]});
}

// Scales and zeros of a stage's rows for one lane: row lane / 4 and 8 below it.
template <Scaling kScaling>
struct ScaleReader {
  const Stage<kScaling>& stage;
  DType type;
  bool zeros;
  int first[2];  // low bits of where the scales of each row begin, in elements
  int last;      // last group of the row, from the first in the stage

  __device__ __forceinline__ float scale(int half, int group) const {
    const int r = lane_id() / 4 + 8 * half;
    const int g = group < last ? group : last;
    if (type == DType::kF32) return bits<float>(stage.scales[r][g]);
    const auto* const halves = reinterpret_cast<const uint16_t*>(stage.scales[r]);
    const uint32_t raw = halves[(first[half] & 1) + g];
    return type == DType::kBF16 ? bits<float>(raw << 16)
                                : detail::f16_to_float(static_cast<uint16_t>(raw));
  }
  __device__ __forceinline__ float zero(int half, int group) const {
    if (!zeros) return 0;
    const int r = lane_id() / 4 + 8 * half;
    const auto* const bytes = reinterpret_cast<const int8_t*>(stage.zeros[r]);
    return bytes[(first[half] & 3) + (group < last ? group : last)];
  }
};

// Sums of a tile's strip: element i of tile `n` of 4 tokens.
template <int kTokenTiles>
struct Sums {
  float v[kTokenTiles][4];
  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) v[n][i] = 0;
    }
  }
  __device__ __forceinline__ void add(const Sums& other, float scale0, float scale1) {
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) v[n][i] += other.v[n][i] * (i < 2 ? scale0 : scale1);
    }
  }
};

// The j-th words of a lane's two rows, all tokens. b: fragments of the segment, by token tile.
template <Form F, int kTokenTiles>
__device__ __forceinline__ void mma_word(Sums<kTokenTiles>& sums, int j, uint32_t row0,
                                         uint32_t row1, const CodeOffset (&offset)[2],
                                         const Vec<uint32_t, 4> (&b)[kTokenTiles]) {
  constexpr bool kHalf = F != Form::kI4;  // a word is half of a block
#pragma unroll
  for (int n = 0; n < kTokenTiles; ++n) {
    mma_words<F>(sums.v[n], row0, row1, offset, b[n].v + (kHalf ? j % 2 * 2 : 0));
  }
}

// B fragments of one block of columns. base: this lane's unit for the first token.
template <int kTokenTiles>
__device__ __forceinline__ void load_fragments(const uint32_t* block,
                                               const int (&unit)[kTokenTiles],
                                               Vec<uint32_t, 4> (&b)[kTokenTiles]) {
#pragma unroll
  for (int n = 0; n < kTokenTiles; ++n) b[n] = load<4>(block + unit[n]);
}

template <Form F, Scaling kScaling, int kTokenTiles>
__device__ __forceinline__ void multiply(Sums<kTokenTiles>& sums, const MatvecArgs& args,
                                         const Stage<kScaling>& stage, const uint32_t* fragments,
                                         const int (&unit)[kTokenTiles], const Place& place,
                                         const ScaleReader<kScaling>& scales) {
  const Vec<uint32_t, 4> row0 = load<4>(stage.elements[0][lane_id()]);
  const Vec<uint32_t, 4> row1 = load<4>(stage.elements[1][lane_id()]);
  const int block_words = args.tokens * 32;
  Vec<uint32_t, 4> b[kTokenTiles];
  if constexpr (F == Form::kF16 || F == Form::kBF16) {
    load_fragments(fragments, unit, b);
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) mma_floats<F>(sums.v[n], row0, row1, b[n].v);
  } else if constexpr (kScaling == Scaling::kWord) {
    constexpr int kWordColumns = segment_columns(F) / 4;
    int column = place.column, group = 0;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (F == Form::kI4 || j % 2 == 0) {
        load_fragments(fragments + (F == Form::kI4 ? j : j / 2) * block_words, unit, b);
      }
      Sums<kTokenTiles> part;
      part.clear();
      const CodeOffset offset[2] = {code_offset<F>(scales.zero(0, group)),
                                    code_offset<F>(scales.zero(1, group))};
      mma_word<F>(part, j, row0[j], row1[j], offset, b);
      sums.add(part, scales.scale(0, group), scales.scale(1, group));
      column += kWordColumns;
      if (column >= args.group) {
        column = 0;
        ++group;
      }
    }
  } else {
    CodeOffset offset[2] = {code_offset<F>(0), code_offset<F>(0)};
    Sums<kTokenTiles> part;
    if constexpr (kScaling == Scaling::kSegment) {
      part.clear();
      if (scales.zeros) {
        offset[0] = code_offset<F>(scales.zero(0, 0));
        offset[1] = code_offset<F>(scales.zero(1, 0));
      }
    }
    Sums<kTokenTiles>& to = kScaling == Scaling::kSegment ? part : sums;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (F == Form::kI4 || j % 2 == 0) {
        load_fragments(fragments + (F == Form::kI4 ? j : j / 2) * block_words, unit, b);
      }
      mma_word<F>(to, j, row0[j], row1[j], offset, b);
    }
    if constexpr (kScaling == Scaling::kSegment) {
      sums.add(part, scales.scale(0, 0), scales.scale(1, 0));
    }
  }
}

// ---- Results.

__device__ __forceinline__ float scale_of_row(const MatvecArgs& args, const MatvecMatrix& matrix,
                                              int64_t row) {
  if (!matrix.scales) return 1;
  if (args.scale_type == DType::kF32) return reinterpret_cast<const float*>(matrix.scales)[row];
  if (args.scale_type == DType::kBF16) {
    return static_cast<float>(reinterpret_cast<const bf16*>(matrix.scales)[row]);
  }
  return static_cast<float>(reinterpret_cast<const f16*>(matrix.scales)[row]);
}

// What turns a row's sum into its value, of products.h, but for the activation and what follows.
struct RowInputs {
  float scale;
  float bias;
  __device__ __forceinline__ float value(float sum, float norm_factor, float token_scale) const {
    return sum * scale * norm_factor * token_scale + bias;
  }
};
__device__ __forceinline__ RowInputs inputs_of_row(const MatvecArgs& args,
                                                   const MatvecMatrix& matrix, int64_t row,
                                                   bool row_scales) {
  return {row_scales ? scale_of_row(args, matrix, row) : 1.0f,
          matrix.bias ? matrix.bias[row] : 0.0f};
}

__device__ __forceinline__ void write_result(const MatvecArgs& args, const MatvecMatrix& matrix,
                                             int64_t row, int token, float value, float gated_with,
                                             float residual) {
  value = activate(args.activation, value);
  if (args.gated) value *= gated_with;
  matrix.out[token * matrix.out_stride + row] = args.residual ? value + residual : value;
}

__device__ __forceinline__ float norm_factor_of(const MatvecArgs& args, float squares) {
  return 1.0f / sqrtf(squares / static_cast<float>(args.columns) + args.eps);
}

template <int kStrips>
__device__ __forceinline__ float sum_of(const float* values, int step) {
  float sum = 0;
#pragma unroll
  for (int s = 0; s < kStrips; ++s) sum += values[s * step];
  return sum;
}

// One number of a tile: which, and what it takes beside the sums. Loaded when a block comes to the
// tile, used when its sums are there.
struct Result {
  int number;  // token * 16 + row of the tile
  int token;
  float token_scale;
  float norm_factor;
  bool any;  // such a row
  Rows rows;
  int64_t row;
  RowInputs inputs[2];
  float residual;

  __device__ __forceinline__ Result(const MatvecArgs& args, int which)
      : number(which), token(which / kTileRows) {
    token_scale = args.token_scale && token < args.tokens ? args.token_scale[token] : 1.0f;
    norm_factor = args.norm ? -1.0f : 1.0f;
  }

  __device__ __forceinline__ void begin(const MatvecArgs& args, int64_t tile, bool row_scales) {
    rows = rows_of(args, tile, 0);
    row = rows.first + number % kTileRows;
    any = token < args.tokens && row < rows.matrix->rows;
    if (!any) return;
    inputs[0] = inputs_of_row(args, *rows.matrix, row, row_scales);
    if (args.gated) inputs[1] = inputs_of_row(args, args.matrix[1], row, row_scales);
    residual = args.residual ? args.residual[token * rows.matrix->rows + row] : 0.0f;
  }

  // Adds the strips, in order. squares: of the first strip, the others square_step apart.
  template <int kStrips>
  __device__ __forceinline__ void end(const MatvecArgs& args, const float* partial,
                                      const float* squares, int square_step) {
    if (!any) return;
    if (norm_factor < 0) {
      norm_factor = norm_factor_of(args, sum_of<kStrips>(squares + token, square_step));
    }
    const int numbers = args.tokens * kTileRows;
    const float sum = sum_of<kStrips>(partial + number, numbers);
    const float value = inputs[0].value(sum, norm_factor, token_scale);
    float gated_with = 0;
    if (args.gated) {
      gated_with = inputs[1].value(sum_of<kStrips>(partial + kStrips * numbers + number, numbers),
                                   norm_factor, token_scale);
    }
    write_result(args, *rows.matrix, row, token, value, gated_with, residual);
  }
};

// One strip of a tile: for each token 16 sums, the two halves of activations added.
template <int kTokenTiles>
__device__ __forceinline__ void store_partial(const Sums<kTokenTiles>& sums,
                                              const float (&inverse)[kTokenTiles], int tokens,
                                              float* partial) {
#pragma unroll
  for (int n = 0; n < kTokenTiles; ++n) {
    const int token = n * kTileTokens + lane_id() % 4;
    if (token >= tokens) continue;
    float* const to = partial + token * kTileRows + lane_id() / 4;
    to[0] = (sums.v[n][0] + sums.v[n][1]) * inverse[n];
    to[8] = (sums.v[n][2] + sums.v[n][3]) * inverse[n];
  }
}

// ---- What the kernels are made of.

// Where a lane finds its fragments of the first token tile of a block of columns, and the next
// ones.
template <int kTokenTiles>
__device__ __forceinline__ void find_units(int tokens, int (&unit)[kTokenTiles]) {
#pragma unroll
  for (int n = 0; n < kTokenTiles; ++n) {
    const int token = n * kTileTokens + lane_id() / 8;  // beyond the last: any, for nobody
    const int of_token = lane_id() / 4 % 2 * 4 + lane_id() % 4;
    unit[n] = ((token < tokens ? token : tokens - 1) * 8 + of_token) * 4;
  }
}

template <Form F>
__device__ __forceinline__ float prepare(const MatvecArgs& args, const Strip& strip, int token,
                                         uint32_t* fragments, float* squares) {
  constexpr int kBlocks = segment_columns(F) / kBlockColumns;
  const int64_t first = int64_t{strip.first} * kBlocks;
  const int blocks = strip.count * kBlocks;
  if (args.vectors && (first + blocks) * kBlockColumns <= args.columns) {
    return prepare_token<F, true>(args, token, first, blocks, fragments, squares);
  }
  return prepare_token<F, false>(args, token, first, blocks, fragments, squares);
}

// A warp's stream of weights and what it multiplies them with.
template <Form F, Scaling kScaling, int kTokenTiles, int kStages>
struct Stream {
  const MatvecArgs& args;
  const Strip& strip;
  Stage<kScaling>* ring;
  const uint32_t* fragments;
  int unit[kTokenTiles];
  Loader<F, kScaling> loader;
  Place place;
  int slot = 0;

  __device__ __forceinline__ Stream(const MatvecArgs& product, const Strip& part,
                                    Stage<kScaling>* stages, const uint32_t* input)
      : args(product), strip(part), ring(stages), fragments(input), place(part.begin()) {
    find_units(args.tokens, unit);
    loader.place = place;
    loader.find_rows(args, strip);
#pragma unroll
    for (int i = 0; i < kStages - 1; ++i) loader.issue(args, strip, ring[i]);
    if (strip.first_tile < strip.end_tile) prefetch(args, loader.rows, strip, kStages - 1);
  }

  // One strip of a tile of one matrix.
  __device__ __forceinline__ Sums<kTokenTiles> next(const Rows& rows) {
    constexpr int kBlocks = segment_columns(F) / kBlockColumns;
    Sums<kTokenTiles> sums;
    sums.clear();
    const int64_t row0 = clamped(rows.first + lane_id() / 4, rows.matrix->rows);
    const int64_t row1 = clamped(rows.first + lane_id() / 4 + 8, rows.matrix->rows);
    for (int s = 0; s < strip.count; ++s) {
      cp_async_wait<kStages - 2>();
      sync_warp();  // all have read the slot that is filled next
      loader.issue(args, strip, ring[slot == 0 ? kStages - 1 : slot - 1]);
      const ScaleReader<kScaling> scales{ring[slot],
                                         args.scale_type,
                                         rows.matrix->zeros != nullptr,
                                         {static_cast<int>(row0 * args.groups + place.group),
                                          static_cast<int>(row1 * args.groups + place.group)},
                                         args.groups - 1 - place.group};
      multiply<F, kScaling, kTokenTiles>(
          sums, args, ring[slot], fragments + s * kBlocks * args.tokens * 32, unit, place, scales);
      if (++slot == kStages) slot = 0;
      advance<F>(place, strip, args);
    }
    return sums;
  }
};

// ---- The kernel for few tokens. Grid: any number of blocks; tiles go around. Block: one warp for
// each strip. kTokenTiles * 4 tokens at most; kStages of the ring.
template <Form F, Scaling kScaling, int kTokenTiles, int kStages, int kStrips>
__global__ void __launch_bounds__(kStrips* kWarpSize) matvec_kernel(MatvecArgs args) {
  using StageT = Stage<kScaling>;
  std::byte* const memory = dynamic_shared<std::byte>();
  const int pair = args.gated ? 2 : 1, warp = warp_id();
  const Shared at = shared_of(sizeof(StageT) * kStages * kStrips, args.row_stride,
                              segment_columns(F), kStrips, args.tokens, pair);
  float* const partial = reinterpret_cast<float*>(memory + at.partial);
  float* const squares = reinterpret_cast<float*>(memory + at.squares);
  const Strip strip = strip_of(args, segment_columns(F), warp, kStrips, blockIdx.x, args.tiles,
                               static_cast<int>(gridDim.x));
  uint32_t* const fragments =
      reinterpret_cast<uint32_t*>(memory + at.fragments) +
      int64_t{strip.first} * (segment_columns(F) / kBlockColumns) * args.tokens * 32;

  // Weights are constant: their loads start while the kernel ahead still runs.
  Stream<F, kScaling, kTokenTiles, kStages> stream(
      args, strip, reinterpret_cast<StageT*>(memory) + warp * kStages, fragments);
  start_next();
  wait_for_previous();

  // Activations of this strip.
  float inverse[kTokenTiles] = {};
  for (int token = 0; token < args.tokens; ++token) {
    float sum;
    const float undo = prepare<F>(args, strip, token, fragments, &sum);
    if (lane_id() == 0) squares[warp * args.tokens + token] = sum;
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
      if (lane_id() % 4 + n * kTileTokens == token) inverse[n] = undo;
    }
  }
  sync_warp();

  // Tile after tile.
  static_assert(kStrips * kWarpSize >= kTokenTiles * kTileTokens * kTileRows);
  Result result(args, static_cast<int>(threadIdx.x));
  int parity = 0;
  for (int64_t tile = blockIdx.x; tile < args.tiles; tile += gridDim.x) {
    result.begin(args, tile, kScaling == Scaling::kRow);
    float* const sums_of_tile = partial + parity * pair * kStrips * args.tokens * kTileRows;
    for (int m = 0; m < pair; ++m) {
      const Sums<kTokenTiles> sums = stream.next(rows_of(args, tile, m));
      store_partial(sums, inverse, args.tokens,
                    sums_of_tile + (m * kStrips + warp) * args.tokens * kTileRows);
    }
    sync_block();
    result.template end<kStrips>(args, sums_of_tile, squares, args.tokens);
    parity ^= 1;
  }
}

// ---- The kernel for more tokens, whose activations one block cannot hold: a block takes one strip
// of a share of the tiles, each of its warps other tiles; the last of a tile's strips to be done
// adds them. Sums as above.
//
// Grid: kStrips * shares. partial: [tiles][matrices of a tile][kStrips][tokens][16]; squares:
// [blocks][tokens]; counters: [tiles], zero.
template <Form F, Scaling kScaling, int kTokenTiles, int kStages, int kStrips, int kWarps>
__global__ void __launch_bounds__(kWarps* kWarpSize)
    matvec_split_kernel(MatvecArgs args, float* partial, float* squares, unsigned* counters) {
  using StageT = Stage<kScaling>;
  std::byte* const memory = dynamic_shared<std::byte>();
  SIMT_SHARED(inverses, float[kTokenTiles * kTileTokens]);
  const int pair = args.gated ? 2 : 1, warp = warp_id();
  const int index = static_cast<int>(blockIdx.x) % kStrips;
  const int64_t share = blockIdx.x / kStrips, shares = gridDim.x / kStrips;
  const Strip strip =
      strip_of(args, segment_columns(F), index, kStrips, args.tiles * share / shares + warp,
               args.tiles * (share + 1) / shares, kWarps);
  uint32_t* const fragments =
      reinterpret_cast<uint32_t*>(memory + sizeof(StageT) * kStages * kWarps);
  Stream<F, kScaling, kTokenTiles, kStages> stream(
      args, strip, reinterpret_cast<StageT*>(memory) + warp * kStages, fragments);
  start_next();
  wait_for_previous();

  // Activations of the block's strip: some tokens by each warp.
  for (int token = warp; token < args.tokens; token += kWarps) {
    float sum;
    const float undo = prepare<F>(args, strip, token, fragments, &sum);
    if (lane_id() == 0) {
      inverses[token] = undo;
      squares[blockIdx.x * args.tokens + token] = sum;
    }
  }
  sync_block();
  float inverse[kTokenTiles];
#pragma unroll
  for (int n = 0; n < kTokenTiles; ++n) {
    const int token = n * kTileTokens + lane_id() % 4;
    inverse[n] = token < args.tokens ? inverses[token] : 0.0f;
  }

  // Tile after tile.
  const int numbers = args.tokens * kTileRows;
  for (int64_t tile = strip.first_tile; tile < strip.end_tile; tile += kWarps) {
    float* const sums_of_tile = partial + tile * pair * kStrips * numbers;
    for (int m = 0; m < pair; ++m) {
      const Sums<kTokenTiles> sums = stream.next(rows_of(args, tile, m));
      store_partial(sums, inverse, args.tokens, sums_of_tile + (m * kStrips + index) * numbers);
    }
    thread_fence();
    sync_warp();
    const unsigned done = lane_id() == 0 ? atomic_add(counters + tile, 1u) : 0u;
    if (shfl(done, 0) != kStrips - 1) continue;
    thread_fence();
    for (int i = lane_id(); i < numbers; i += kWarpSize) {
      Result result(args, i);
      result.begin(args, tile, kScaling == Scaling::kRow);
      result.template end<kStrips>(args, sums_of_tile, squares + share * kStrips * args.tokens,
                                   args.tokens);
    }
    if (lane_id() == 0) counters[tile] = 0;
  }
}

// What all blocks together ask the L2 cache for: a part of it.
constexpr int64_t kPrefetchBytes = 16 << 20;

// ---- Launches. kStages: of each warp's ring; kStrips: warps of a block.
template <int kStages, int kStrips>
struct MatvecTuning {
  template <Form F, Scaling kScaling>
  static int64_t shared_bytes(const MatvecArgs& args, int tokens) {
    return shared_of(sizeof(Stage<kScaling>) * kStages * kStrips, args.row_stride,
                     segment_columns(F), kStrips, tokens, args.gated ? 2 : 1)
        .bytes;
  }

  // Blocks that a multiprocessor can hold.
  static int64_t resident(const DeviceInfo& device, int64_t shared) {
    constexpr size_t kReserved = 1024;  // of each block, by the system
    const size_t fit =
        (device.shared_bytes + kReserved) / (static_cast<size_t>(shared) + kReserved);
    return static_cast<int64_t>(std::clamp<size_t>(fit, 1, 2));
  }

  static int prefetch_segments(int64_t bytes, int64_t blocks) {
    return static_cast<int>(bytes / (blocks * kStrips * kTileRows * kSegmentBytes));
  }

  template <Form F, Scaling kScaling, int kTokenTiles>
  static void launch(Context& context, MatvecArgs args, int64_t prefetch_bytes = kPrefetchBytes) {
    const int64_t shared = shared_bytes<F, kScaling>(args, args.tokens);
    const int64_t blocks =
        std::min(args.tiles, resident(context.device, shared) * context.device.multiprocessors);
    args.prefetch = prefetch_segments(prefetch_bytes, blocks);
    simt::launch(matvec_kernel<F, kScaling, kTokenTiles, kStages, kStrips>,
                 {static_cast<unsigned>(blocks)}, {kStrips * kWarpSize},
                 static_cast<size_t>(shared), context.stream, args);
  }

  // ---- The strips in blocks of their own.
  static constexpr int kWarps = 8;

  template <Form F, Scaling kScaling>
  static int64_t split_shared_bytes(const MatvecArgs& args, int tokens) {
    const int64_t segments = args.row_stride / kSegmentBytes;
    return static_cast<int64_t>(sizeof(Stage<kScaling>)) * kStages * kWarps +
           (segments + kStrips - 1) / kStrips * segment_columns(F) * 4 * tokens;
  }

  template <Form F, Scaling kScaling, int kTokenTiles>
  static void launch_split(Context& context, MatvecArgs args,
                           int64_t prefetch_bytes = kPrefetchBytes) {
    const int64_t shared = split_shared_bytes<F, kScaling>(args, args.tokens);
    const int64_t most = resident(context.device, shared) * context.device.multiprocessors;
    const int64_t useful = (args.tiles + kWarps - 1) / kWarps;
    const int64_t shares = std::clamp<int64_t>(most / kStrips, 1, useful);
    const int64_t blocks = shares * kStrips;
    args.prefetch = prefetch_segments(prefetch_bytes, blocks);
    const int64_t sums = args.tiles * (args.gated ? 2 : 1) * kStrips * args.tokens * kTileRows;
    auto* const partial = reinterpret_cast<float*>(
        context.scratch.reserve(sizeof(float) * static_cast<size_t>(sums + blocks * args.tokens)));
    auto* const counters = reinterpret_cast<unsigned*>(
        context.counters.reserve(sizeof(unsigned) * static_cast<size_t>(args.tiles)));
    simt::launch(matvec_split_kernel<F, kScaling, kTokenTiles, kStages, kStrips, kWarps>,
                 {static_cast<unsigned>(blocks)}, {kWarps * kWarpSize}, static_cast<size_t>(shared),
                 context.stream, args, partial, partial + sums, counters);
  }
};

}  // namespace matvec_detail

// The kernels' form of a product.
MatvecArgs matvec_args(const Product& product);  // matvec.cu

}  // namespace hone::cuda
