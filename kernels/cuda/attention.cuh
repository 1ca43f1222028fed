// What decoding and prefill attention share: elements of a cache as operands of tensor cores.
//
// Products are mma.sync m16n8k16 of f16 with f32 sums. A number that f16 does not hold is the sum
// of two that do, x = high + low, which keeps 22 bits: queries and softmax weights while decoding
// (the rows of a tile that grouped heads leave empty take the low parts), keys and values of F32
// caches. Limits: magnitudes beyond 65504 become infinite; below 2^-14 the error is absolute,
// 2^-25.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/cuda/kv_cache.cuh"
#include "kernels/simt/device.h"

namespace hone::cuda {

using namespace simt;

inline constexpr int kTile = static_cast<int>(kKvTile);
inline constexpr float kLog2E = 1.44269504088896340736f;

// AttentionArgs as kernels take them.
struct Attention {
  const float* q;
  const std::byte* keys;
  const std::byte* values;
  float* out;
  const int32_t* sequences;
  const int32_t* positions;
  const float* slopes;
  int64_t capacity;
  int tokens;
  int heads;
  int kv_heads;
  int group;  // query heads of a kv head
  int dim;
  int width;  // of a stored row
  int window;
  float scale;  // times log2(e): scores are exponents of 2
};
inline Attention attention_of(const AttentionArgs& args) {
  return {.q = args.q,
          .keys = args.keys,
          .values = args.values,
          .out = args.out,
          .sequences = args.sequences,
          .positions = args.positions,
          .slopes = args.alibi_slopes,
          .capacity = args.capacity,
          .tokens = static_cast<int>(args.tokens),
          .heads = static_cast<int>(args.heads),
          .kv_heads = static_cast<int>(args.kv_heads),
          .group = static_cast<int>(args.heads / args.kv_heads),
          .dim = static_cast<int>(args.head_dim),
          .width = static_cast<int>(kv_width(args.head_dim)),
          .window = static_cast<int>(std::min<int64_t>(args.window, args.capacity)),
          .scale = static_cast<float>(args.scale) * kLog2E};
}

// How decoding is cut; other values are for measuring, and for tests.
struct DecodeCut {
  int warps = 8;  // of a block, at most
  int times = 1;  // blocks of one token, over multiprocessors
  // What the blocks of a token leave for each other: of more tokens than that holds, some at a
  // time.
  int64_t sum_bytes = int64_t{64} << 20;
};
inline DecodeCut decode_cut;

void decode_attention(Context& context, const AttentionArgs& args);  // attention_decode.cu
// False where the device cannot.
bool prefill_attention(Context& context, const AttentionArgs& args);  // attention_prefill.cu

// A finite number and its remainder as two halves of f16. An infinity has no remainder.
struct SplitPair {
  uint32_t high, low;
};
__device__ __forceinline__ float low_part(float x, f16 high) {
  const float rounded = static_cast<float>(high);
  return fabsf(rounded) < INFINITY ? x - rounded : 0.0f;
}
__device__ __forceinline__ SplitPair split_pair(float a, float b) {
  const uint32_t high = f16x2_pack(a, b);
  const auto halves = bits<Vec<f16, 2>>(high);
  return {high, f16x2_pack(low_part(a, halves[0]), low_part(b, halves[1]))};
}
// The sum of a product with high parts and one with low parts, which is not a number where the
// first is infinite.
__device__ __forceinline__ float join_parts(float high, float low) {
  return fabsf(high) < INFINITY ? high + low : high;
}

// bf16 pairs as f16 pairs: exact from 2^-14 to 65504.
__device__ __forceinline__ uint32_t f16x2_from_bf16x2(uint32_t x) {
  return f16x2_pack(bits<float>(x << 16), bits<float>(x & 0xffff0000u));
}
// Bytes 0 and 2, or 1 and 3, of four int8 as exact f16: 1024 + (x + 128) has x in its last bits.
__device__ __forceinline__ uint32_t f16x2_from_even_int8(uint32_t x) {
  return f16x2_sub(((x ^ 0x80808080u) & 0x00ff00ffu) | 0x64006400u, 0x64806480u);
}
__device__ __forceinline__ uint32_t f16x2_from_odd_int8(uint32_t x) {
  return f16x2_from_even_int8(x >> 8);
}

// A piece of a cache in shared memory: rows of kWidth elements, one to a position, whose 16-byte
// chunks are permuted so that 8 rows of one chunk lie in different banks.
template <DType kType, int kWidth>
struct KvRows {
  static constexpr int kElement = kType == DType::kF32 ? 4 : kType == DType::kI8 ? 1 : 2;
  static constexpr int kRowChunks = kWidth * kElement / 16;
  static constexpr int kRowBytes = kRowChunks * 16;
  static constexpr int kTileBytes = kTile * kRowBytes;
  static constexpr int kScaleBytes = kType == DType::kI8 ? kTile * 4 : 0;
  static constexpr bool kSplit = kType == DType::kF32;  // operands come as high and low
  static_assert(kRowChunks >= 4);

  static constexpr int kTurn = kRowChunks >= 8 ? 8 : 4;  // chunks that change places

  static __device__ __forceinline__ int place(int row, int chunk) {
    const int turned = kTurn == 8 ? chunk ^ (row & 7) : chunk ^ (row >> 1 & 3);
    return row * kRowBytes + turned * 16;
  }
  // place(row, chunk + more) of place(row, chunk), where their sum carries no bit. Of a `more` that
  // is known when compiling, so that a lane keeps one address for all chunks, not an address for
  // each.
  static __device__ __forceinline__ int further(int place, int more) {
    return (place ^ (more % kTurn * 16)) + more / kTurn * kTurn * 16;
  }

  // The elements of a query that meet registers 0 and 1 of keys(): pairs {0, 1} and {2, 3}.
  static __device__ __forceinline__ int query_element(int step, int quad_lane, int i) {
    if constexpr (kType == DType::kF32) return 16 * step + quad_lane + 4 * i;
    if constexpr (kType == DType::kI8) return 16 * step + 4 * quad_lane + 2 * (i % 2) + i / 2;
    return 16 * step + 2 * quad_lane + i % 2 + 8 * (i / 2);
  }

  // Elements [16 step, 16 step + 16) of 16 keys as operands B of two products, of 8 keys each.
  // All forms of a step see the same elements in the same order, query_element's.
  static __device__ __forceinline__ void keys(const std::byte* rows, int step,
                                              uint32_t (&high)[2][2], uint32_t (&low)[2][2]) {
    const int lane = lane_id();
    if constexpr (kType == DType::kF32) {
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        uint32_t r[4];
        ldmatrix(r, rows + place(lane % 8 + 8 * n, 4 * step + lane / 8));
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const auto pair = split_pair(bits<float>(r[2 * i]), bits<float>(r[2 * i + 1]));
          high[n][i] = pair.high;
          low[n][i] = pair.low;
        }
      }
    } else if constexpr (kType == DType::kI8) {
      uint32_t r[2];
      ldmatrix(r, rows + place(lane % 16, step));
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        high[n][0] = f16x2_from_even_int8(r[n]);
        high[n][1] = f16x2_from_odd_int8(r[n]);
      }
    } else {
      uint32_t r[4];
      ldmatrix(r, rows + place(lane % 8 + lane / 16 * 8, 2 * step + lane / 8 % 2));
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        high[i / 2][i % 2] = kType == DType::kBF16 ? f16x2_from_bf16x2(r[i]) : r[i];
      }
    }
  }

  // Elements [16 step, 16 step + 16) of 16 values as operands B of two products, of 8 elements
  // each: column c of product n is value_element(step, n, c).
  static __device__ __forceinline__ void values(const std::byte* rows, int step,
                                                uint32_t (&high)[2][2], uint32_t (&low)[2][2]) {
    const int lane = lane_id();
    if constexpr (kType == DType::kF32) {
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        float v[4];  // of element 16 step + 8 n + lane / 4
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int chunk = further(place(2 * (lane % 4) + i % 2, lane / 16), 4 * step + 2 * n);
          const int at = chunk + i / 2 * 8 * kRowBytes + lane / 4 % 4 * 4;
          v[i] = *reinterpret_cast<const float*>(rows + at);
        }
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const auto pair = split_pair(v[2 * i], v[2 * i + 1]);
          high[n][i] = pair.high;
          low[n][i] = pair.low;
        }
      }
    } else if constexpr (kType == DType::kI8) {
      uint32_t r[2];
      ldmatrix_trans(r, rows + place(lane % 16, step));
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        high[0][i] = f16x2_from_even_int8(r[i]);
        high[1][i] = f16x2_from_odd_int8(r[i]);
      }
    } else {
      uint32_t r[4];
      ldmatrix_trans(r, rows + place(lane % 16, 2 * step + lane / 16));
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        high[i / 2][i % 2] = kType == DType::kBF16 ? f16x2_from_bf16x2(r[i]) : r[i];
      }
    }
  }
  static __device__ __forceinline__ int value_element(int step, int n, int column) {
    return kType == DType::kI8 ? 16 * step + 2 * column + n : 16 * step + 8 * n + column;
  }
};

}  // namespace hone::cuda
