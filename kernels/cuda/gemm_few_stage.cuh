// What a block of gemm_few.cu works on, and how its segments of columns come into shared memory:
// weights as they lie, the activations' fragments, scales and zero points.
#pragma once

#include "kernels/cuda/half_range.cuh"
#include "kernels/cuda/matvec_input.cuh"

namespace hone::cuda::gemm_few_detail {

using namespace simt;

inline constexpr int kWarps = 4;
inline constexpr int kThreads = kWarps * kWarpSize;
inline constexpr int kWarpRows = 32;  // two mma
inline constexpr int kTileRows = kWarps * kWarpRows;
inline constexpr int kSegmentBytes = 64;
inline constexpr int kBlockColumns = 32;
inline constexpr int kMmaTokens = 8;

// Activations are so much smaller than they were.
constexpr float input_factor(Form form) { return form == Form::kBF16 ? 1 : 1 / kF16Factor; }
constexpr bool has_codes(Form form) { return form != Form::kBF16 && form != Form::kF16; }
constexpr int blocks_of_segment(Form form) { return segment_columns(form) / kBlockColumns; }

struct FewMatrix {
  const std::byte* payload;
  const std::byte* scales;
  const int8_t* zeros;
  const float* bias;
  float* out;
  int64_t out_stride;
  int64_t rows;
  int64_t first_tile;  // where tiles of all matrices are counted through
};

// No byte is padding.
struct FewArgs {
  const uint32_t* x;  // fragments
  const float* token_scale;
  const float* residual;
  float* partial;     // [tiles and slices][splits][2 * tokens / 8][threads][4]
  unsigned* arrived;  // [tiles and slices], zero
  int64_t row_stride;
  int64_t padded_tokens;
  int tokens;
  int segments;  // of a row
  int splits;
  int slices;  // of the tokens
  int matrices;
  int gated;
  int group;   // columns
  int groups;  // a row
  DType scale_type;
  Activation activation;
  uint8_t unused[6];
  FewMatrix matrix[3];
};

// The aligned words that hold the scales of one row and segment.
template <Scaling kScaling>
struct ScaleWords {
  static constexpr int kScales = kScaling == Scaling::kSegment ? 1 : 4;
  static constexpr int kZeros = (kScales + 1) / 2;
  uint32_t scales[kScales];
  uint32_t zeros[kZeros];
};

template <Form F, Scaling kScaling, int kTokenTiles>
struct alignas(16) Stage {
  uint32_t weights[kWarps][4][kWarpSize][4];  // rows lane / 4 + 8 i; words as they lie
  uint32_t x[blocks_of_segment(F)][kTokenTiles][kWarpSize][4];
  ScaleWords<kScaling> scales[kScaling == Scaling::kRow ? 1 : kTileRows];
};

// What a block works on.
struct Place {
  int64_t tile;
  int split, slice;
  int first_segment, end_segment;
};

__device__ __forceinline__ Place place_of(const FewArgs& args) {
  Place p;
  const unsigned tile_and_split = blockIdx.x / static_cast<unsigned>(args.slices);
  p.slice = static_cast<int>(blockIdx.x % static_cast<unsigned>(args.slices));
  p.tile = tile_and_split / static_cast<unsigned>(args.splits);
  p.split = static_cast<int>(tile_and_split % static_cast<unsigned>(args.splits));
  p.first_segment = args.segments * p.split / args.splits;
  p.end_segment = args.segments * (p.split + 1) / args.splits;
  return p;
}

// The rows of this warp: 16 of each mma; gated: of the gate and of up. In registers, by value: an
// index into kernel arguments would send them all through memory.
struct WarpRows {
  FewMatrix matrix[2];
  int64_t first[2];

  __device__ __forceinline__ WarpRows(const FewArgs& args, int64_t tile) {
    if (args.gated) {
      matrix[0] = args.matrix[0];
      matrix[1] = args.matrix[1];
      first[0] = first[1] = tile * (kTileRows / 2) + warp_id() * 16;
      return;
    }
    matrix[0] = args.matrix[0];
    if (args.matrices > 1 && tile >= args.matrix[1].first_tile) matrix[0] = args.matrix[1];
    if (args.matrices > 2 && tile >= args.matrix[2].first_tile) matrix[0] = args.matrix[2];
    matrix[1] = matrix[0];
    first[0] = (tile - matrix[0].first_tile) * kTileRows + warp_id() * kWarpRows;
    first[1] = first[0] + 16;
  }
  // Rows 8 i + lane / 4 of the warp; the last row of the matrix for those beyond it.
  __device__ __forceinline__ int64_t row(int i) const {
    return first[i / 2] + i % 2 * 8 + lane_id() / 4;
  }
  __device__ __forceinline__ bool exists(int i) const { return row(i) < matrix[i / 2].rows; }
  __device__ __forceinline__ int64_t clamped(int i) const {
    return exists(i) ? row(i) : matrix[i / 2].rows - 1;
  }
};

// Loads of stages, one segment each.
template <Form F, Scaling kScaling, int kTokenTiles>
struct SegmentLoader {
  using StageT = Stage<F, kScaling, kTokenTiles>;
  const std::byte* weights[4];
  const uint32_t* x;
  const std::byte* scales;  // and zeros: of the matrix of row `lane` of the warp
  const int8_t* zeros;
  int64_t row, rows;

  __device__ __forceinline__ SegmentLoader(const FewArgs& args, const Place& place,
                                           const WarpRows& warp_rows) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      weights[i] = warp_rows.matrix[i / 2].payload + warp_rows.clamped(i) * args.row_stride +
                   lane_id() % 4 * 16;
    }
    const bool second = lane_id() >= 16;
    scales = second ? warp_rows.matrix[1].scales : warp_rows.matrix[0].scales;
    zeros = second ? warp_rows.matrix[1].zeros : warp_rows.matrix[0].zeros;
    rows = second ? warp_rows.matrix[1].rows : warp_rows.matrix[0].rows;
    row = (second ? warp_rows.first[1] : warp_rows.first[0]) + lane_id() % 16;
    row = row < rows ? row : rows - 1;
    x = args.x + int64_t{place.slice} * kTokenTiles * kMmaTokens * 16;
  }

  __device__ __forceinline__ static const std::byte* word(const void* array, int64_t at, int words,
                                                          int64_t bytes) {
    const int64_t from = (at & ~int64_t{3}) + 4 * words;
    return static_cast<const std::byte*>(array) + (from < bytes ? from : at & ~int64_t{3});
  }

  // What no kernel writes.
  __device__ __forceinline__ void load_weights(const FewArgs& args, StageT& stage, int segment) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      cp_async<16>(stage.weights[warp_id()][i][lane_id()],
                   weights[i] + int64_t{segment} * kSegmentBytes);
    }
    if constexpr (kScaling != Scaling::kRow) {
      using Words = ScaleWords<kScaling>;
      const int group = segment * segment_columns(F) / args.group;
      const int64_t at = row * args.groups + (group < args.groups ? group : args.groups - 1);
      const int64_t count = rows * args.groups;
      const int size = args.scale_type == DType::kF32 ? 4 : 2;
      Words& to = stage.scales[threadIdx.x];
#pragma unroll
      for (int i = 0; i < Words::kScales; ++i) {
        cp_async<4>(&to.scales[i], word(scales, at * size, i, count * size));
      }
      if (!zeros) return;
#pragma unroll
      for (int i = 0; i < Words::kZeros; ++i) {
        cp_async<4>(&to.zeros[i], word(zeros, at, i, count));
      }
    }
  }

  __device__ __forceinline__ void load_x(const FewArgs& args, StageT& stage, int segment) {
    constexpr int kUnits = kTokenTiles * kWarpSize;  // of 16 bytes, of one block of columns
#pragma unroll
    for (int i = 0; i < blocks_of_segment(F) * kUnits / kThreads; ++i) {
      const int unit = i * kThreads + static_cast<int>(threadIdx.x);
      const int block = unit / kUnits, in_block = unit % kUnits;
      const int64_t column_block = int64_t{segment} * blocks_of_segment(F) + block;
      cp_async<16>(&stage.x[block][0][0][0] + in_block * 4,
                   x + column_block * args.padded_tokens * 16 + in_block * 4);
    }
  }
};

}  // namespace hone::cuda::gemm_few_detail
