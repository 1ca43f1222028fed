// The arithmetic of gemm_few.cu: a segment of weights becomes operands of tensor cores and meets
// the tokens; sums of all splits get their scales and go out.
#pragma once

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/gemm_few_stage.cuh"

namespace hone::cuda::gemm_few_detail {

// Scales of one row, as f16 pairs and offsets of codes.
template <Form F>
struct RowScale {
  uint32_t scale;  // both halves
  CodeOffset offset;
};

// start: where the row's scales start in their array, or its low bits.
template <Form F, Scaling kScaling>
__device__ __forceinline__ RowScale<F> read_scale(const FewArgs& args,
                                                  const ScaleWords<kScaling>& words, int start,
                                                  int segment, int column) {
  const int first = segment * segment_columns(F) / args.group;  // group of the segment's start
  int group = 0;
  if constexpr (kScaling == Scaling::kWord) {
    group = (segment * segment_columns(F) + column) / args.group - first;
    const int last = args.groups - 1 - first;
    group = group < last ? group : last;
  }
  const int at = start + first;
  float scale;
  if (args.scale_type == DType::kF32) {
    scale = bits<float>(words.scales[group]);
  } else {
    const auto* const halves = reinterpret_cast<const uint16_t*>(words.scales);
    const uint32_t raw = halves[(at & 1) + group];
    scale = args.scale_type == DType::kBF16 ? bits<float>(raw << 16)
                                            : detail::f16_to_float(static_cast<uint16_t>(raw));
  }
  float zero = 0;
  if (args.matrix[0].zeros) zero = reinterpret_cast<const int8_t*>(words.zeros)[(at & 3) + group];
  return {both_halves(f16(scale * kF16Factor)), code_offset<F>(zero)};
}

// Half of an A fragment, of one row: 32 columns, 4 pairs, from words 32 columns cover.
template <Form F, bool kScaled>
__device__ __forceinline__ void decode_row(const uint32_t* words, int block, const RowScale<F>& of,
                                           uint32_t (&out)[4]) {
  if constexpr (!has_codes(F)) {
#pragma unroll
    for (int i = 0; i < 4; ++i) out[i] = words[i];
  } else if constexpr (F == Form::kI4) {
    decode_i4(words[block], of.offset, out);
  } else {
    uint32_t low[2], high[2];
    if constexpr (F == Form::kI8) {
      decode_i8(words[2 * block], of.offset, low);
      decode_i8(words[2 * block + 1], of.offset, high);
    } else {
      decode_f8(words[2 * block], low);
      decode_f8(words[2 * block + 1], high);
    }
    out[0] = low[0], out[1] = low[1], out[2] = high[0], out[3] = high[1];
  }
  if constexpr (kScaled) {
#pragma unroll
    for (int i = 0; i < 4; ++i) out[i] = f16x2_fma(out[i], of.scale, 0x80008000u);
  }
}

template <int kTokenTiles>
struct Sums {
  float v[2][kTokenTiles][4];  // [rows 16 m ..][tokens 8 n ..]
};

template <Form F, Scaling kScaling, int kTokenTiles>
__device__ __forceinline__ void multiply_segment(const FewArgs& args,
                                                 const Stage<F, kScaling, kTokenTiles>& stage,
                                                 int segment, const int (&start)[4],
                                                 RowScale<F> (&scale)[4], Sums<kTokenTiles>& sums) {
  constexpr bool kScaled = kScaling != Scaling::kRow;
  using T = std::conditional_t<F == Form::kBF16, bf16, f16>;
  Vec<uint32_t, 4> words[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) words[i] = load<4>(stage.weights[warp_id()][i][lane_id()]);
#pragma unroll
  for (int block = 0; block < blocks_of_segment(F); ++block) {
    uint32_t a[4][4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int r = warp_id() * kWarpRows + 8 * i + lane_id() / 4;
      if constexpr (kScaling == Scaling::kSegment) {
        if (block == 0) {
          scale[i] = read_scale<F>(args, stage.scales[r], start[i], segment, 0);
        }
      }
      if constexpr (kScaling == Scaling::kWord && F == Form::kI4) {
        scale[i] = read_scale<F>(args, stage.scales[r], start[i], segment, block * kBlockColumns);
      }
      if constexpr (kScaling == Scaling::kWord && F != Form::kI4) {
        // Groups may be of 16 columns: each half has its own.
        const int column = block * kBlockColumns;
        scale[i] = read_scale<F>(args, stage.scales[r], start[i], segment, column);
        uint32_t low[4], high[4];
        decode_row<F, true>(words[i].v, block, scale[i], low);
        scale[i] = read_scale<F>(args, stage.scales[r], start[i], segment, column + 16);
        decode_row<F, true>(words[i].v, block, scale[i], high);
        a[i][0] = low[0], a[i][1] = low[1], a[i][2] = high[2], a[i][3] = high[3];
      } else {
        decode_row<F, kScaled>(words[i].v, block, scale[i], a[i]);
      }
    }
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
      const auto b = load<4>(stage.x[block][n][lane_id()]);
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        const uint32_t* const top = a[2 * m];
        const uint32_t* const low = a[2 * m + 1];
        mma<T>(sums.v[m][n], {top[0], low[0], top[1], low[1]}, {b[0], b[1]});
        mma<T>(sums.v[m][n], {top[2], low[2], top[3], low[3]}, {b[2], b[3]});
      }
    }
  }
}

__device__ __forceinline__ float scale_of_row(const FewArgs& args, const FewMatrix& matrix,
                                              int64_t row) {
  if (args.scale_type == DType::kF32) return reinterpret_cast<const float*>(matrix.scales)[row];
  const uint16_t raw = reinterpret_cast<const uint16_t*>(matrix.scales)[row];
  return args.scale_type == DType::kF16 ? detail::f16_to_float(raw)
                                        : bits<float>(static_cast<uint32_t>(raw) << 16);
}

// A sum with its scales and bias.
template <Form F, Scaling kScaling>
__device__ __forceinline__ float finished(const FewArgs& args, const FewMatrix& matrix, int64_t row,
                                          int token, float sum) {
  if constexpr (kScaling == Scaling::kRow) sum *= 1 / input_factor(F);
  if constexpr (kScaling == Scaling::kRow && has_codes(F)) sum *= scale_of_row(args, matrix, row);
  if (args.token_scale) sum *= args.token_scale[token];
  return matrix.bias ? sum + matrix.bias[row] : sum;
}

template <Form F, Scaling kScaling, int kTokenTiles>
__device__ __forceinline__ void write_results(const FewArgs& args, const Place& place,
                                              const WarpRows& rows, const Sums<kTokenTiles>& sums) {
  const auto write = [&](const FewMatrix& matrix, int64_t row, int token, float value,
                         float gated_with) {
    value = activate(args.activation, value);
    if (args.gated) value *= gated_with;
    if (args.residual) value += args.residual[token * matrix.rows + row];
    matrix.out[token * matrix.out_stride + row] = value;
  };
#pragma unroll
  for (int n = 0; n < kTokenTiles; ++n) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int token = (place.slice * kTokenTiles + n) * kMmaTokens + lane_id() % 4 * 2 + e % 2;
      if (token >= args.tokens) continue;
      float value[2] = {};
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        const int i = 2 * m + e / 2;
        if (!rows.exists(i)) continue;
        value[m] = finished<F, kScaling>(args, rows.matrix[m], rows.row(i), token, sums.v[m][n][e]);
      }
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        const int i = 2 * m + e / 2;
        if (!rows.exists(i) || (args.gated && m == 1)) continue;
        write(rows.matrix[m], rows.row(i), token, value[m], value[1]);
      }
    }
  }
}

// Leaves the sums of this split; true in the block that finds all splits there, and has their sum.
template <int kTokenTiles>
__device__ __forceinline__ bool add_splits(const FewArgs& args, const Place& place,
                                           Sums<kTokenTiles>& sums) {
  SIMT_SHARED(last, int);
  constexpr int kVectors = 2 * kTokenTiles;
  const int64_t unit = place.tile * args.slices + place.slice;
  float* const all = args.partial + unit * args.splits * kVectors * kThreads * 4;
  const auto vector = [&](int split, int i) {
    return all + ((int64_t{split} * kVectors + i) * kThreads + threadIdx.x) * 4;
  };
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    const float(&v)[4] = sums.v[i / kTokenTiles][i % kTokenTiles];
    store(vector(place.split, i), Vec<float, 4>{v[0], v[1], v[2], v[3]});
  }
  thread_fence();
  sync_block();
  if (threadIdx.x == 0) {
    last = atomic_add(args.arrived + unit, 1u) == static_cast<unsigned>(args.splits) - 1;
    if (last) args.arrived[unit] = 0;
  }
  sync_block();
  if (!last) return false;
  thread_fence();
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    Vec<float, 4> sum = load<4>(vector(0, i));
    for (int split = 1; split < args.splits; ++split) {
      const auto more = load<4>(vector(split, i));
#pragma unroll
      for (int e = 0; e < 4; ++e) sum[e] += more[e];
    }
#pragma unroll
    for (int e = 0; e < 4; ++e) sums.v[i / kTokenTiles][i % kTokenTiles][e] = sum[e];
  }
  return true;
}

}  // namespace hone::cuda::gemm_few_detail
