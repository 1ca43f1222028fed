// One segment of 16 rows, decoded in registers, times the activations of up to 16 tokens.
#pragma once

#include "kernels/cuda/matvec_stream.cuh"

namespace hone::cuda::matvec_detail {

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

// A warp's stream of weights and what it multiplies them with.
template <Form F, Scaling kScaling, int kTokenTiles, int kStages, int kL2>
struct Stream {
  const MatvecArgs& args;
  const Strip& strip;
  Stage<kScaling>* ring;
  const uint32_t* fragments;
  int unit[kTokenTiles];
  Loader<F, kScaling, kL2> loader;
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

}  // namespace hone::cuda::matvec_detail
