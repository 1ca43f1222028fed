// From sums of strips to results: scales, norm, bias, activation, gate, residual.
#pragma once

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/matvec_sums.cuh"

namespace hone::cuda::matvec_detail {

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
                                                   const MatvecMatrix& matrix, int row,
                                                   bool row_scales) {
  return {row_scales ? scale_of_row(args, matrix, row) : 1.0f,
          matrix.bias ? matrix.bias[row] : 0.0f};
}

__device__ __forceinline__ void write_result(const MatvecArgs& args, const MatvecMatrix& matrix,
                                             int row, int token, float value, float gated_with,
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
  int matrix;
  int row;
  RowInputs inputs[2];
  float residual;

  __device__ __forceinline__ Result(const MatvecArgs& args, int which)
      : number(which), token(which / kTileRows) {
    token_scale = args.token_scale && token < args.tokens ? args.token_scale[token] : 1.0f;
    norm_factor = args.norm ? -1.0f : 1.0f;
  }

  __device__ __forceinline__ void begin(const MatvecArgs& args, int tile, bool row_scales) {
    const Rows rows = rows_of(args, tile, 0);
    matrix = rows.matrix;
    row = rows.first + number % kTileRows;
    const int count = args.matrix[matrix].rows;
    any = token < args.tokens && row < count;
    if (!any) return;
    inputs[0] = inputs_of_row(args, args.matrix[matrix], row, row_scales);
    if (args.gated) inputs[1] = inputs_of_row(args, args.matrix[1], row, row_scales);
    residual = args.residual ? args.residual[int64_t{token} * count + row] : 0.0f;
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
    write_result(args, args.matrix[matrix], row, token, value, gated_with, residual);
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

}  // namespace hone::cuda::matvec_detail
