// What the kernels of matvec.cuh multiply: their arguments, and the parts that warps take.
#pragma once

#include "kernels/cuda/dequant.cuh"
#include "kernels/cuda/products.h"

namespace hone::cuda {

// One of the matrices of a product.
struct MatvecMatrix {
  const std::byte* payload;
  const std::byte* scales;
  const int8_t* zeros;
  const uint32_t* index;
  const float* bias;
  float* out;
  int64_t out_stride;
  int rows;
  int first_tile;  // where tiles of all matrices are counted through; 0 where gated
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
  int tiles;          // of the first matrix where gated, else of all
  int later_tile[2];  // first of the second and third matrix; where none begins, the largest int
  int prefetch;       // segments of each strip
  DType scale_type;
  int scale_bytes;
  int group;   // columns
  int groups;  // a row
  MatvecMatrix matrix[3];
};

// How scales apply: to whole rows; one to a segment of a row; one to each word that a lane loads
// (2:4: to each 32 columns).
enum class Scaling { kRow, kSegment, kWord };
constexpr bool is_scaled(Scaling scaling) { return scaling != Scaling::kRow; }

namespace matvec_detail {

using namespace simt;

constexpr int kTileRows = 16;
constexpr int kSegmentBytes = 64;
constexpr int kBlockColumns = 32;  // that two mma take
constexpr int kTileTokens = 4;     // of one mma

// Which rows a tile has; pair: of which matrix, where two are gated.
struct Rows {
  int matrix;
  int first;
};
__device__ __forceinline__ Rows rows_of(const MatvecArgs& args, int tile, int pair) {
  const int matrix = pair + (tile >= args.later_tile[0]) + (tile >= args.later_tile[1]);
  return {matrix, (tile - args.matrix[matrix].first_tile) * kTileRows};
}
__device__ __forceinline__ int clamped(int row, int rows) { return row < rows ? row : rows - 1; }

// What a warp multiplies: a strip of the columns, of some tiles.
struct Strip {
  int first;  // segment
  int count;
  int column;  // of its first segment, within its group
  int group;
  int first_tile;
  int end_tile;
  int tile_step;
};

__device__ __forceinline__ Strip strip_of(const MatvecArgs& args, int segment_columns, int index,
                                          int strips, int first_tile, int end_tile, int tile_step) {
  const int segments = static_cast<int>(args.row_stride / kSegmentBytes);
  Strip strip;
  strip.first = segments * index / strips;
  strip.count = segments * (index + 1) / strips - strip.first;
  strip.column = args.group ? strip.first * segment_columns % args.group : 0;
  strip.group = args.group ? strip.first * segment_columns / args.group : 0;
  strip.first_tile = first_tile;
  strip.end_tile = end_tile;
  strip.tile_step = tile_step;
  return strip;
}

}  // namespace matvec_detail
}  // namespace hone::cuda
