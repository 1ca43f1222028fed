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

}  // namespace matvec_detail
}  // namespace hone::cuda
