// Launches of the products of few tokens: which kernel, how many blocks; and the exact product of
// F32 weights, which models of ordinary size do not have.
#include <algorithm>
#include <limits>

#include "kernels/check.h"
#include "kernels/cuda/matvec.cuh"

namespace hone::cuda {
namespace {

using namespace matvec_detail;

// ---- F32: one warp for each row, all tokens; 32 partial sums.

constexpr int kFloatWarps = 8;

// Four of a row; beyond its end zero.
__device__ __forceinline__ Vec<float, 4> load_floats(const float* row, int64_t at, int64_t columns,
                                                     bool wide) {
  if (wide && at + 4 <= columns) return load<4>(row + at);
  Vec<float, 4> four;
#pragma unroll
  for (int i = 0; i < 4; ++i) four[i] = at + i < columns ? row[at + i] : 0.0f;
  return four;
}

__device__ __forceinline__ float float_dot(const MatvecArgs& args, const float* weights, int token,
                                           float* squares) {
  const float* const x = args.x + token * args.columns;
  float sum = 0, square_sum = 0;
  for (int64_t c = 4 * lane_id(); c < args.columns; c += 4 * kWarpSize) {
    Vec<float, 4> v = load_floats(x, c, args.columns, args.vectors);
    const Vec<float, 4> w = load_nc<4>(weights + c);  // rows end with zeros
    if (args.norm) {
      const Vec<float, 4> norm = load_floats(args.norm, c, args.columns, args.vectors);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        square_sum += v[i] * v[i];
        v[i] *= norm[i];
      }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) sum += v[i] * w[i];
  }
  *squares = warp_sum(square_sum);
  return warp_sum(sum);
}

__global__ void __launch_bounds__(kFloatWarps* kWarpSize) matvec_f32_kernel(MatvecArgs args) {
  start_next();
  wait_for_previous();
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kFloatWarps + warp_id();
  if (at >= int64_t{args.tiles} * kTileRows) return;
  const int tile = static_cast<int>(at / kTileRows);
  const Rows rows = rows_of(args, tile, 0);
  const MatvecMatrix& first = args.matrix[rows.matrix];
  const int row = rows.first + static_cast<int>(at % kTileRows);
  if (row >= first.rows) return;
  for (int token = 0; token < args.tokens; ++token) {
    const float token_scale = args.token_scale ? args.token_scale[token] : 1.0f;
    const auto value = [&](const MatvecMatrix& matrix) {
      const auto* const weights =
          reinterpret_cast<const float*>(matrix.payload + row * args.row_stride);
      float squares;
      const float sum = float_dot(args, weights, token, &squares);
      const float factor = args.norm ? norm_factor_of(args, squares) : 1.0f;
      return inputs_of_row(args, matrix, row, true).value(sum, factor, token_scale);
    };
    const float gated_with = args.gated ? value(args.matrix[1]) : 0.0f;
    const float result = value(first);
    if (lane_id() != 0) continue;
    const float residual = args.residual ? args.residual[int64_t{token} * first.rows + row] : 0.0f;
    write_result(args, first, row, token, result, gated_with, residual);
  }
}

void launch_f32(Context& context, const MatvecArgs& args) {
  const int64_t warps = int64_t{args.tiles} * kTileRows;
  const auto blocks = static_cast<unsigned>((warps + kFloatWarps - 1) / kFloatWarps);
  simt::launch(matvec_f32_kernel, {blocks}, {kFloatWarps * kWarpSize}, 0, context.stream, args);
}

// ---- The others.

// In flight for each multiprocessor: two blocks of 8 warps, 5 segments of 1 KB each, 80 KB.
using Tuning = MatvecTuning<6, 8, 128>;

MatvecArgs some_tokens(MatvecArgs args, int first, int count) {
  args.tokens = count;
  args.x += first * args.columns;
  if (args.token_scale) args.token_scale += first;
  if (args.residual) args.residual += int64_t{first} * args.matrix[0].rows;
  for (int i = 0; i < args.matrices; ++i) {
    args.matrix[i].out += first * args.matrix[i].out_stride;
  }
  return args;
}

template <Form F, Scaling kScaling>
void launch_split(Context& context, const MatvecArgs& args) {
  int most = args.tokens;
  const auto limit = static_cast<int64_t>(context.device.shared_bytes);
  while (most > 1 && Tuning::split_shared_bytes<F, kScaling>(args, most) > limit) --most;
  for (int t = 0; t < args.tokens; t += most) {
    const MatvecArgs part = some_tokens(args, t, std::min(most, args.tokens - t));
    if (part.tokens <= kTileTokens) {
      Tuning::launch_split<F, kScaling, 1>(context, part);
    } else if (part.tokens <= 2 * kTileTokens) {
      Tuning::launch_split<F, kScaling, 2>(context, part);
    } else {
      Tuning::launch_split<F, kScaling, 4>(context, part);
    }
  }
}

// One way or the other, by what fills a multiprocessor: the same bytes.
template <Form F, Scaling kScaling>
void launch_form(Context& context, const MatvecArgs& args) {
  const int64_t shared = Tuning::shared_bytes<F, kScaling>(args, args.tokens);
  const auto limit = static_cast<int64_t>(context.device.shared_bytes);
  if (args.tokens <= kTileTokens && shared <= limit / 2) {
    Tuning::launch<F, kScaling, 1>(context, args);
  } else {
    launch_split<F, kScaling>(context, args);
  }
}

template <Form F>
void launch_scaled(Context& context, const MatvecArgs& args) {
  const bool zeros = args.matrix[0].zeros != nullptr;
  const bool one = args.groups <= 1;
  if (!args.matrix[0].scales || (one && !zeros)) {
    launch_form<F, Scaling::kRow>(context, args);
  } else if (one || args.group % segment_columns(F) == 0) {
    launch_form<F, Scaling::kSegment>(context, args);
  } else {
    launch_form<F, Scaling::kWord>(context, args);
  }
}

template <Form F>
void launch_sparse_scaled(Context& context, const MatvecArgs& args) {
  if (args.groups <= 1 && !args.matrix[0].zeros) {
    launch_form<F, Scaling::kRow>(context, args);
  } else {
    launch_form<F, Scaling::kWord>(context, args);
  }
}

void launch_sparse(Context& context, const MatvecArgs& args, const WeightView& weight) {
  if (weight.packed_bits == 4) return launch_sparse_scaled<Form::kSparseI4>(context, args);
  switch (weight.type) {
    case DType::kI8:
      return launch_sparse_scaled<Form::kSparseI8>(context, args);
    case DType::kF8E4M3:
      return launch_sparse_scaled<Form::kSparseF8>(context, args);
    case DType::kF16:
      return launch_form<Form::kSparseF16, Scaling::kRow>(context, args);
    case DType::kBF16:
      return launch_form<Form::kSparseBF16, Scaling::kRow>(context, args);
    default:
      CHECK(!"a 2:4 matrix that place() does not make");
  }
}

bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

}  // namespace

MatvecArgs matvec_args(const Product& product) {
  const WeightView& first = product.weight[0];
  MatvecArgs args{};
  args.x = product.x;
  args.norm = product.norm.weight;
  args.eps = static_cast<float>(product.norm.eps);
  args.vectors = product.columns % 4 == 0 && aligned(product.x) && aligned(product.norm.weight);
  args.token_scale = product.token_scale;
  args.residual = product.residual;
  args.activation = product.activation;
  args.gated = product.gated;
  args.tokens = static_cast<int>(product.tokens);
  args.matrices = product.matrices;
  args.columns = product.columns;
  args.row_stride = first.row_stride;
  args.scale_type = first.scale_type;
  args.scale_bytes = static_cast<int>(row_bytes(first.scale_type, 1));
  args.group = static_cast<int>(first.group);
  args.groups = first.scales ? static_cast<int>(first.columns / first.group) : 1;
  for (int& tile : args.later_tile) tile = std::numeric_limits<int>::max();
  for (int i = 0; i < product.matrices; ++i) {
    const WeightView& weight = product.weight[i];
    CHECK(weight.type == first.type && weight.packed_bits == first.packed_bits &&
          weight.row_stride == first.row_stride && weight.group == first.group &&
          weight.scale_type == first.scale_type && !weight.zeros == !first.zeros);
    args.matrix[i] = {.payload = weight.payload,
                      .scales = weight.scales,
                      .zeros = weight.zeros,
                      .index = reinterpret_cast<const uint32_t*>(weight.index),
                      .bias = product.bias[i],
                      .out = product.out[i],
                      .out_stride = product.out_stride[i],
                      .rows = static_cast<int>(weight.rows),
                      .first_tile = product.gated ? 0 : args.tiles};
    if (i > 0 && !product.gated) args.later_tile[i - 1] = args.tiles;
    if (i > 0 && product.gated) continue;
    args.tiles += static_cast<int>((weight.rows + kTileRows - 1) / kTileRows);
  }
  return args;
}

void matvec(Context& context, const Product& product) {
  CHECK(product.tokens <= kMatvecTokens);
  if (product.tokens == 0) return;
  const MatvecArgs args = matvec_args(product);
  if (args.tiles == 0) return;
  const WeightView& weight = product.weight[0];
  if (weight.index) return launch_sparse(context, args, weight);
  if (weight.packed_bits == 4) return launch_scaled<Form::kI4>(context, args);
  switch (weight.type) {
    case DType::kF32:
      return launch_f32(context, args);
    case DType::kF16:
      return launch_form<Form::kF16, Scaling::kRow>(context, args);
    case DType::kBF16:
      return launch_form<Form::kBF16, Scaling::kRow>(context, args);
    case DType::kI8:
      return launch_scaled<Form::kI8>(context, args);
    case DType::kF8E4M3:
      return launch_scaled<Form::kF8>(context, args);
    default:
      CHECK(!"a matrix that place() does not make");
  }
}

}  // namespace hone::cuda
