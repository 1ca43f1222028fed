// One segment of 16 rows, decoded in registers, times the activations of up to 16 tokens.
#pragma once

#include "kernels/cuda/matvec_stream.cuh"

namespace hone::cuda::matvec_detail {

// A fragments from the j-th words of a lane's two rows: of 32 columns (int4) or 16.
template <Form F>
struct WordFragments {
  static constexpr int kCount = F == Form::kI4 ? 2 : 1;
  uint32_t a[kCount][4];

  __device__ __forceinline__ WordFragments(uint32_t row0, uint32_t row1,
                                           const CodeOffset (&offset)[2]) {
    uint32_t w0[2 * kCount], w1[2 * kCount];
    if constexpr (F == Form::kI4) {
      decode_i4(row0, offset[0], w0);
      decode_i4(row1, offset[1], w1);
    } else if constexpr (F == Form::kI8) {
      decode_i8(row0, offset[0], w0);
      decode_i8(row1, offset[1], w1);
    } else {
      decode_f8(row0, w0);
      decode_f8(row1, w1);
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      a[i][0] = w0[2 * i];
      a[i][1] = w1[2 * i];
      a[i][2] = w0[2 * i + 1];
      a[i][3] = w1[2 * i + 1];
    }
  }
};

// Half of an A fragment of a 2:4 matrix: what one of a lane's rows keeps of its two quadruples in a
// block of the segment.
template <Form F>
__device__ __forceinline__ void decode_kept(const Vec<uint32_t, 4>& row, int block,
                                            CodeOffset offset, uint32_t (&out)[2]) {
  if constexpr (F == Form::kSparseI4) {
    decode_four_i4(row[block / 2] >> block % 2 * 8, offset, out);
  } else if constexpr (F == Form::kSparseI8) {
    decode_i8(row[block], offset, out);
  } else if constexpr (F == Form::kSparseF8) {
    decode_f8(row[block], out);
  } else {
    out[0] = row[2 * block];
    out[1] = row[2 * block + 1];
  }
}

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
  __device__ __forceinline__ void add(const Sums& other, const float (&scale)[2]) {
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) v[n][i] += other.v[n][i] * scale[i / 2];
    }
  }
};

// B fragments of one block of 32 columns, of all tokens.
template <int kTokenTiles>
struct InputFragments {
  Vec<uint32_t, 4> b[kTokenTiles];

  // unit: where this lane's are in a block.
  __device__ __forceinline__ void load(const uint32_t* block, const int (&unit)[kTokenTiles]) {
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) b[n] = simt::load<4>(block + unit[n]);
  }
  // positions: of two blocks, of which this is number `half`, known when compiled.
  template <class T>
  __device__ __forceinline__ void multiply_sparse(Sums<kTokenTiles>& sums, const uint32_t (&a)[4],
                                                  uint32_t positions, int half) const {
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
      half == 0 ? mma_sparse<T, 0>(sums.v[n], a, b[n].v, positions)
                : mma_sparse<T, 1>(sums.v[n], a, b[n].v, positions);
    }
  }
  // a: of half of the block.
  template <class T>
  __device__ __forceinline__ void multiply(Sums<kTokenTiles>& sums, const uint32_t (&a)[4],
                                           int half) const {
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
      mma<T>(sums.v[n], a, {b[n][2 * half], b[n][2 * half + 1]});
    }
  }
};

// Scales and zeros of one lane's two rows, lane / 4 and 8 below it, as the stages hold them.
template <Form F, Scaling kScaling>
struct Scales {
  GroupPlace<F, kScaling> place;
  int first[2];  // where the segment's scales begin, in elements from the array's start: low bits
  int last;      // group of the row, from the segment's first
  bool zeros;
  CodeOffset offset[2];

  __device__ __forceinline__ void begin(const MatvecArgs& args, const Strip& strip,
                                        const Rows& rows) {
    if constexpr (segment_columns(F) == kBlockColumns) return;
    offset[0] = offset[1] = code_offset<F>(0);
    if constexpr (is_scaled(kScaling)) {
      const MatvecMatrix& matrix = args.matrix[rows.matrix];
      place.column = strip.column;
      last = args.groups - 1 - strip.group;
      zeros = matrix.zeros != nullptr;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = clamped(rows.first + lane_id() / 4 + 8 * half, matrix.rows);
        first[half] = row * args.groups + strip.group;
      }
    }
  }

  __device__ __forceinline__ void advance(const MatvecArgs& args) {
    if constexpr (!is_scaled(kScaling)) return;
    const int groups = place.advance(args.group);
    first[0] += groups;
    first[1] += groups;
    last -= groups;
  }

  // group: from the segment's first. Columns beyond the last group are zero: any scale will do.
  __device__ __forceinline__ void read(const MatvecArgs& args, const Stage<F, kScaling>& stage,
                                       int group, float (&scale)[2]) {
    if (kScaling == Scaling::kWord && group > last) group = last;
    const int r = lane_id() / 4;
    if (args.scale_type == DType::kF32) {
      scale[0] = bits<float>(stage.scales[r][group]);
      scale[1] = bits<float>(stage.scales[r + 8][group]);
    } else {
      const bool brain = args.scale_type == DType::kBF16;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const auto* const halves = reinterpret_cast<const uint16_t*>(stage.scales[r + 8 * half]);
        const uint16_t raw = halves[(first[half] & 1) + group];
        scale[half] =
            brain ? bits<float>(static_cast<uint32_t>(raw) << 16) : detail::f16_to_float(raw);
      }
    }
    if (!zeros) return;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const auto* const bytes = reinterpret_cast<const int8_t*>(stage.zeros[r + 8 * half]);
      offset[half] = code_offset<F>(bytes[(first[half] & 3) + group]);
    }
  }
};

// A warp's stream of weights and what it multiplies them with.
template <Form F, Scaling kScaling, int kTokenTiles, int kStages, int kL2>
struct Stream {
  static constexpr int kBlocks = segment_columns(F) / kBlockColumns;

  const MatvecArgs& args;
  const Strip& strip;
  Stage<F, kScaling>* ring;
  const uint32_t* fragments;
  int unit[kTokenTiles];
  Loader<F, kScaling, kL2> loader;
  int slot = 0;             // to be read next
  int freed = kStages - 1;  // read before it

  __device__ __forceinline__ Stream(const MatvecArgs& product, const Strip& part,
                                    Stage<F, kScaling>* stages, const uint32_t* input)
      : args(product), strip(part), ring(stages), fragments(input) {
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
      const int token = n * kTileTokens + lane_id() / 8;  // beyond the last: any, for nobody
      const int of_token = lane_id() / 4 % 2 * 4 + lane_id() % 4;
      unit[n] = ((token < args.tokens ? token : args.tokens - 1) * 8 + of_token) * 4;
    }
    loader.begin(args, strip);
#pragma unroll 1  // short code: at a kernel's start all of it comes from memory
    for (int i = 0; i < kStages - 1; ++i) loader.issue(args, strip, ring[i]);
    prefetch(args, strip, kStages - 1);
  }

  // One strip of a tile of one matrix.
  __device__ __forceinline__ Sums<kTokenTiles> next(const Rows& rows) {
    Sums<kTokenTiles> sums;
    sums.clear();
    Scales<F, kScaling> scales;
    scales.begin(args, strip, rows);
    const uint32_t* block = fragments;
    for (int s = 0; s < strip.count; ++s) {
      cp_async_wait<kStages - 2>();
      sync_warp();  // all have read the slot that is filled next
      loader.issue(args, strip, ring[freed]);
      multiply(sums, ring[slot], block, scales);
      freed = slot;
      if (++slot == kStages) slot = 0;
      block += kBlocks * args.tokens * 32;
      scales.advance(args);
    }
    return sums;
  }

  __device__ __forceinline__ void multiply(Sums<kTokenTiles>& sums, const Stage<F, kScaling>& stage,
                                           const uint32_t* block, Scales<F, kScaling>& scales) {
    const Vec<uint32_t, 4> row0 = load<4>(stage.elements[0][lane_id()]);
    const Vec<uint32_t, 4> row1 = load<4>(stage.elements[1][lane_id()]);
    InputFragments<kTokenTiles> input;
    if constexpr (kBlocks == 1) {
      using T = std::conditional_t<F == Form::kBF16, bf16, f16>;
      input.load(block, unit);
      input.template multiply<T>(sums, {row0[0], row1[0], row0[1], row1[1]}, 0);
      input.template multiply<T>(sums, {row0[2], row1[2], row0[3], row1[3]}, 1);
      return;
    }
    if constexpr (is_sparse(F)) {
      multiply_sparse(sums, stage, block, scales, row0, row1);
      return;
    }
    float scale[2] = {1, 1};
    int column = scales.place.column, group = 0;
    Sums<kTokenTiles> part;  // of one scale
    part.clear();
    if constexpr (kScaling == Scaling::kSegment) scales.read(args, stage, 0, scale);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      constexpr bool kWhole = F == Form::kI4;  // a word is a block, or half of one
      if (kWhole || j % 2 == 0) {
        input.load(block + (kWhole ? j : j / 2) * args.tokens * 32, unit);
      }
      if constexpr (kScaling == Scaling::kWord) scales.read(args, stage, group, scale);
      const WordFragments<F> words(row0[j], row1[j], scales.offset);
      Sums<kTokenTiles>& to = kScaling == Scaling::kRow ? sums : part;
#pragma unroll
      for (int i = 0; i < words.kCount; ++i) {
        input.template multiply<f16>(to, words.a[i], kWhole ? i : j % 2);
      }
      if constexpr (kScaling == Scaling::kWord) {
        sums.add(part, scale);
        part.clear();
        column += segment_columns(F) / 4;
        if (column >= args.group) {
          column = 0;
          ++group;
        }
      }
    }
    if constexpr (kScaling == Scaling::kSegment) sums.add(part, scale);
  }

  // 2:4: one mma, and one scale, for each 32 columns.
  __device__ __forceinline__ void multiply_sparse(Sums<kTokenTiles>& sums,
                                                  const Stage<F, kScaling>& stage,
                                                  const uint32_t* block,
                                                  Scales<F, kScaling>& scales,
                                                  const Vec<uint32_t, 4>& row0,
                                                  const Vec<uint32_t, 4>& row1) {
    using T = std::conditional_t<is_brain(F), bf16, f16>;
    constexpr int kUnits = index_units(F);
    const Vec<uint32_t, kUnits> positions = load<kUnits>(stage.index[lane_id()]);
    int column = scales.place.column, group = 0;
    float scale[2];
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) {
      if constexpr (is_scaled(kScaling)) {
        if (b == 0 || column == 0) scales.read(args, stage, group, scale);
      }
      uint32_t kept[2][2];
      decode_kept<F>(row0, b, scales.offset[0], kept[0]);
      decode_kept<F>(row1, b, scales.offset[1], kept[1]);
      InputFragments<kTokenTiles> input;
      input.load(block + b * args.tokens * 32, unit);
      Sums<kTokenTiles> part;  // of one scale
      part.clear();
      Sums<kTokenTiles>& to = is_scaled(kScaling) ? part : sums;
      input.template multiply_sparse<T>(to, {kept[0][0], kept[1][0], kept[0][1], kept[1][1]},
                                        positions[b / 2], b % 2);
      if constexpr (is_scaled(kScaling)) {
        sums.add(part, scale);
        column += kBlockColumns;
        if (column >= args.group) {
          column = 0;
          ++group;
        }
      }
    }
  }
};

}  // namespace hone::cuda::matvec_detail
