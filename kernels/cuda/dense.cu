// Own kernels for products of dense matrices, for where the library has none: 64 x 64 tiles in
// shared memory, two of them in flight, multiplied by mma.sync; F32 and fp8 by plain multiply-adds.
#include "kernels/cuda/dense.h"

#include "kernels/check.h"
#include "kernels/cuda/placed.cuh"

namespace hone::cuda {
namespace {

constexpr int kTile = 64;       // tokens and rows
constexpr int kTileBytes = 64;  // of a tile's row
constexpr int kStages = 2;
constexpr int kThreads = 128;  // 2 x 2 warps, 32 x 32 each
constexpr int kChunkBytes = 16, kChunks = kTileBytes / kChunkBytes;

struct Shared {
  std::byte x[kStages][kTile * kTileBytes];
  std::byte weight[kStages][kTile * kTileBytes];
};

struct Operand {
  const std::byte* data;
  int64_t rows;
  int64_t stride;  // bytes
};

template <class Out>
struct Result {
  Out* out;
  int64_t stride;
  const float* bias = nullptr;
  const float* add = nullptr;
  int64_t add_stride = 0;
  float factor = 1;
  uint32_t unused = 0;  // no byte is padding
};

// Where chunk c of row r lies in a tile, permuted so that ldmatrix meets no bank conflict.
__device__ __forceinline__ int swizzled(int r, int c) {
  return r * kTileBytes + (c ^ (r / 2 & 3)) * kChunkBytes;
}

// Starts copying kTile rows from (row, byte) on; rows outside become zero.
__device__ __forceinline__ void load_tile(std::byte* tile, const Operand& from, int64_t row,
                                          int64_t byte) {
#pragma unroll
  for (int i = static_cast<int>(threadIdx.x); i < kTile * kChunks; i += kThreads) {
    const int r = i / kChunks, c = i % kChunks;
    const bool valid = row + r < from.rows;
    const std::byte* at =
        valid ? from.data + (row + r) * from.stride + byte + c * kChunkBytes : from.data;
    simt::cp_async<kChunkBytes>(tile + swizzled(r, c), at, valid);
  }
}

template <class Out>
__device__ __forceinline__ void write(const Result<Out>& to, int64_t token, int64_t row,
                                      Out value) {
  if constexpr (std::is_same_v<Out, float>) {
    value *= to.factor;
    if (to.bias) value += to.bias[row];
    if (to.add) value += to.add[token * to.add_stride + row];
  }
  to.out[token * to.stride + row] = value;
}

template <class T, class Out>
__global__ void __launch_bounds__(kThreads, 4)
    dense_kernel(Operand x, Operand weight, int64_t row_bytes, Result<Out> result) {
  Shared& s = *simt::dynamic_shared<Shared>();
  const int64_t row0 = int64_t{blockIdx.x} * kTile, token0 = int64_t{blockIdx.y} * kTile;
  const int warp_m = simt::warp_id() / 2 * 32, warp_n = simt::warp_id() % 2 * 32;
  const int lane = simt::lane_id();
  const int64_t tiles = row_bytes / kTileBytes;
  const auto fetch = [&](int64_t tile) {
    const int stage = static_cast<int>(tile % kStages);
    load_tile(s.x[stage], x, token0, tile * kTileBytes);
    load_tile(s.weight[stage], weight, row0, tile * kTileBytes);
  };

  simt::start_next();
  simt::wait_for_previous();
  Out sums[2][4][4] = {};
  fetch(0);
  simt::cp_async_commit();
  for (int64_t tile = 0; tile < tiles; ++tile) {
    if (tile + 1 < tiles) fetch(tile + 1);
    simt::cp_async_commit();
    simt::cp_async_wait<1>();
    simt::sync_block();
    const std::byte* const sx = s.x[tile % kStages];
    const std::byte* const sw = s.weight[tile % kStages];
#pragma unroll
    for (int k = 0; k < kChunks; k += 2) {
      uint32_t a[2][4], b[2][4];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        simt::ldmatrix<4>(a[i], sx + swizzled(warp_m + 16 * i + lane % 16, k + lane / 16));
        simt::ldmatrix<4>(
            b[i], sw + swizzled(warp_n + 16 * i + lane % 8 + lane / 16 * 8, k + lane / 8 % 2));
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const uint32_t pair[2] = {b[j / 2][2 * (j % 2)], b[j / 2][2 * (j % 2) + 1]};
          simt::mma<T>(sums[i][j], a[i], pair);
        }
      }
    }
    simt::sync_block();
  }

#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int64_t token = token0 + warp_m + 16 * i + 8 * (e / 2) + lane / 4;
        const int64_t row = row0 + warp_n + 8 * j + 2 * (lane % 4) + e % 2;
        if (token < x.rows && row < weight.rows) write(result, token, row, sums[i][j][e]);
      }
    }
  }
}

constexpr int kFloatTile = 16;

template <class T>
__global__ void __launch_bounds__(kFloatTile* kFloatTile)
    float_kernel(Operand x, Operand weight, int64_t columns, Result<float> result) {
  SIMT_SHARED(sx, float[kFloatTile][kFloatTile + 1]);
  SIMT_SHARED(sw, float[kFloatTile][kFloatTile + 1]);
  const int tx = static_cast<int>(threadIdx.x) % kFloatTile;
  const int ty = static_cast<int>(threadIdx.x) / kFloatTile;
  const int64_t row0 = int64_t{blockIdx.x} * kFloatTile;
  const int64_t token0 = int64_t{blockIdx.y} * kFloatTile;
  const auto element = [&](const Operand& from, int64_t row, int64_t column) {
    if (row >= from.rows || column >= columns) return 0.0f;
    const T at = reinterpret_cast<const T*>(from.data + row * from.stride)[column];
    if constexpr (std::is_same_v<T, float>)
      return at;
    else
      return fp8_value(at);
  };
  simt::start_next();
  simt::wait_for_previous();
  float sum = 0;
  for (int64_t c = 0; c < columns; c += kFloatTile) {
    sx[ty][tx] = element(x, token0 + ty, c + tx);
    sw[ty][tx] = element(weight, row0 + ty, c + tx);
    simt::sync_block();
#pragma unroll
    for (int k = 0; k < kFloatTile; ++k) sum += sx[ty][k] * sw[tx][k];
    simt::sync_block();
  }
  const int64_t token = token0 + ty, row = row0 + tx;
  if (token < x.rows && row < weight.rows) write(result, token, row, sum);
}

unsigned tiles(int64_t n, int64_t tile) { return static_cast<unsigned>((n + tile - 1) / tile); }

Operand operand(const void* data, int64_t rows, int64_t stride_bytes) {
  return {static_cast<const std::byte*>(data), rows, stride_bytes};
}

template <class T, class Out>
void run(Context& context, const Operand& x, const Operand& weight, int64_t row_bytes,
         const Result<Out>& result) {
  CHECK(row_bytes % kTileBytes == 0);
  simt::launch(dense_kernel<T, Out>, {tiles(weight.rows, kTile), tiles(x.rows, kTile)}, {kThreads},
               sizeof(Shared), context.stream, x, weight, row_bytes, result);
}

}  // namespace

void multiply(Context& context, const GemmLibrary::Product& p) {
  if (context.stream.dry) return;
  if (context.gemm && context.gemm->multiply(context.stream, p)) return;
  const Result<float> result{p.out, p.out_stride, p.bias, p.add, p.add_stride, p.factor};
  const int64_t size = info(p.type).block_bytes;
  const Operand x = operand(p.x, p.tokens, p.x_stride * size);
  const Operand weight = operand(p.weight, p.rows, p.weight_stride * size);
  if (p.type == DType::kF16) return run<simt::f16>(context, x, weight, 2 * p.columns, result);
  if (p.type == DType::kBF16) return run<simt::bf16>(context, x, weight, 2 * p.columns, result);
  CHECK(p.type == DType::kF32 || p.type == DType::kF8E4M3);
  simt::launch(p.type == DType::kF32 ? float_kernel<float> : float_kernel<uint8_t>,
               {tiles(p.rows, kFloatTile), tiles(p.tokens, kFloatTile)}, {kFloatTile * kFloatTile}, 0,
               context.stream, x, weight, p.columns, result);
}

void multiply(Context& context, const GemmLibrary::IntegerProduct& p) {
  if (context.stream.dry) return;
  if (context.gemm && context.gemm->multiply(context.stream, p)) return;
  run<int8_t>(context, operand(p.x, p.tokens, p.x_stride),
              operand(p.weight, p.rows, p.weight_stride), p.columns,
              Result<int>{p.out, p.out_stride});
}

}  // namespace hone::cuda
