// The arithmetic of prefill attention: scores of a block of keys, softmax as they come (Dao 2023),
// weighted sums of values. All of it lies in registers as the products of tensor cores leave it.
#pragma once

#include "kernels/cuda/attention_prefill_rows.cuh"

namespace hone::cuda::prefill_detail {

// A warp's rows: softmax and sums, as products leave them: lane / 4 and 8 further down.
template <Route kRoute, int kWidth>
struct Sums {
  static constexpr int kRowTiles = Shape<kRoute, kWidth>::kRowTiles;
  float largest[kRowTiles][2];
  float weights[kRowTiles][2];
  float o[kRowTiles][kWidth / 8][4];
};
template <Route kRoute, int kWidth>
using Scores = float[Shape<kRoute, kWidth>::kRowTiles][Shape<kRoute, kWidth>::kKeys / 8][4];

template <Route kRoute, int kWidth>
__device__ __forceinline__ void multiply_keys(const std::byte* queries, const std::byte* keys,
                                              Scores<kRoute, kWidth>& s) {
  using S = Shape<kRoute, kWidth>;
  const int lane = lane_id();
  const int row0 = warp_id() * 16 * S::kRowTiles;
#pragma unroll 2
  for (int step = 0; step < kWidth / 16; ++step) {
    uint32_t a[S::kPlanes][S::kRowTiles][4];
#pragma unroll
    for (int tile = 0; tile < S::kRowTiles; ++tile) {
      const int at = S::Rows::place(row0 + 16 * tile + lane % 16, 2 * step + lane / 16);
#pragma unroll
      for (int plane = 0; plane < S::kPlanes; ++plane) {
        ldmatrix(a[plane][tile], queries + plane * S::kQueryPlane + at);
      }
    }
#pragma unroll
    for (int k = 0; k < S::kKeys / 16; ++k) {
      uint32_t b[2][2], low[2][2];
      S::Rows::keys(keys + k * 16 * S::kRowBytes, step, b, low);
      if constexpr (S::kExact) {
        S::Rows::keys(keys + S::kKeyPlane + k * 16 * S::kRowBytes, step, low, low);
      }
#pragma unroll
      for (int tile = 0; tile < S::kRowTiles; ++tile) {
#pragma unroll
        for (int n = 0; n < 2; ++n) {
          mma<f16>(s[tile][2 * k + n], a[0][tile], b[n]);
          if constexpr (S::kExact) {
            mma<f16>(s[tile][2 * k + n], a[1][tile], b[n]);
            mma<f16>(s[tile][2 * k + n], a[0][tile], low[n]);
          }
        }
      }
    }
  }
}

// Adds ALiBi's slopes: scores become exponents of 2.
template <Route kRoute, int kWidth>
__device__ __forceinline__ void add_slopes(float scale, const RowView* views, int first,
                                           Scores<kRoute, kWidth>& s) {
  using S = Shape<kRoute, kWidth>;
#pragma unroll
  for (int tile = 0; tile < S::kRowTiles; ++tile) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const RowView view = views[16 * tile + 8 * half];
      const auto key = static_cast<float>(first + 2 * (lane_id() % 4) - view.last);
#pragma unroll
      for (int n = 0; n < S::kKeys / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float& x = s[tile][n][2 * half + i];
          x = x * scale + view.slope * (key + static_cast<float>(8 * n + i));
        }
      }
    }
  }
}

// Keys that a row does not see get the score -inf.
template <Route kRoute, int kWidth>
__device__ __forceinline__ void mask(int window, const RowView* views, int first,
                                     Scores<kRoute, kWidth>& s) {
  using S = Shape<kRoute, kWidth>;
#pragma unroll
  for (int tile = 0; tile < S::kRowTiles; ++tile) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int last = views[16 * tile + 8 * half].last;
      const int key = first + 2 * (lane_id() % 4) - last;  // 0: the last one seen
      const int before = window > 0 && last >= 0 ? -window : -last - 1;
#pragma unroll
      for (int n = 0; n < S::kKeys / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int at = key + 8 * n + i;
          if (at > 0 || at <= before) s[tile][n][2 * half + i] = -INFINITY;
        }
      }
    }
  }
}

// Scores to weights; what was summed before is brought to the new largest score.
template <Route kRoute, int kWidth>
__device__ __forceinline__ void soften(float scale, Scores<kRoute, kWidth>& s,
                                       Sums<kRoute, kWidth>& sums) {
  using S = Shape<kRoute, kWidth>;
  float shrink[S::kRowTiles][2];
#pragma unroll
  for (int tile = 0; tile < S::kRowTiles; ++tile) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float largest = sums.largest[tile][half];
#pragma unroll
      for (int n = 0; n < S::kKeys / 8; ++n) {
        largest = fmaxf(largest, fmaxf(s[tile][n][2 * half], s[tile][n][2 * half + 1]));
      }
      largest = fmaxf(largest, shfl_xor(largest, 1));
      largest = fmaxf(largest, shfl_xor(largest, 2));
      const float reference = largest == -INFINITY ? 0.0f : largest * scale;
      shrink[tile][half] = fast_exp2(sums.largest[tile][half] * scale - reference);
      sums.largest[tile][half] = largest;
      float weights = 0;
#pragma unroll
      for (int n = 0; n < S::kKeys / 8; ++n) {
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          s[tile][n][i] = fast_exp2(s[tile][n][i] * scale - reference);
          weights += s[tile][n][i];
        }
      }
      sums.weights[tile][half] = sums.weights[tile][half] * shrink[tile][half] + weights;
    }
  }
#pragma unroll
  for (int tile = 0; tile < S::kRowTiles; ++tile) {
#pragma unroll
    for (int n = 0; n < kWidth / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) sums.o[tile][n][i] *= shrink[tile][i / 2];
    }
  }
}

// Weights as operands A of products with 16 values each: high halves and, exactly, low ones.
template <Route kRoute, int kWidth>
using Weights = uint32_t[Shape<kRoute, kWidth>::kKeys / 16][Shape<kRoute, kWidth>::kPlanes]
                        [Shape<kRoute, kWidth>::kRowTiles][4];

// At once, before anything waits: rounded to 16 bits they take half of the registers.
template <Route kRoute, int kWidth>
__device__ __forceinline__ void pack_weights(const Scores<kRoute, kWidth>& s,
                                             Weights<kRoute, kWidth>& weights) {
  using S = Shape<kRoute, kWidth>;
#pragma unroll
  for (int k = 0; k < S::kKeys / 16; ++k) {
#pragma unroll
    for (int tile = 0; tile < S::kRowTiles; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* const w = &s[tile][2 * k + i / 2][i % 2 * 2];
        if constexpr (S::kExact) {
          const SplitPair pair = split_pair(w[0], w[1]);
          weights[k][0][tile][i] = pair.high;
          weights[k][1][tile][i] = pair.low;
        } else {
          weights[k][0][tile][i] = f16x2_pack(w[0], w[1]);
        }
      }
    }
  }
}

template <Route kRoute, int kWidth>
__device__ __forceinline__ void multiply_values(const std::byte* values,
                                                const Weights<kRoute, kWidth>& weights,
                                                Sums<kRoute, kWidth>& sums) {
  using S = Shape<kRoute, kWidth>;
#pragma unroll
  for (int k = 0; k < S::kKeys / 16; ++k) {
    const auto& a = weights[k];
#pragma unroll
    for (int step = 0; step < kWidth / 16; ++step) {
      uint32_t b[2][2], low[2][2];
      S::Rows::values(values + k * 16 * S::kRowBytes, step, b, low);
      if constexpr (S::kExact) {
        S::Rows::values(values + S::kKeyPlane + k * 16 * S::kRowBytes, step, low, low);
      }
#pragma unroll
      for (int tile = 0; tile < S::kRowTiles; ++tile) {
#pragma unroll
        for (int n = 0; n < 2; ++n) {
          mma<f16>(sums.o[tile][2 * step + n], a[0][tile], b[n]);
          if constexpr (S::kExact) {
            mma<f16>(sums.o[tile][2 * step + n], a[1][tile], b[n]);
            mma<f16>(sums.o[tile][2 * step + n], a[0][tile], low[n]);
          }
        }
      }
    }
  }
}

template <Route kRoute, int kWidth>
__device__ __forceinline__ void write_out(const Attention& args, const Block& block,
                                          Sums<kRoute, kWidth>& sums) {
  using S = Shape<kRoute, kWidth>;
  const int rows = args.tokens * args.group;
#pragma unroll
  for (int tile = 0; tile < S::kRowTiles; ++tile) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float weights = sums.weights[tile][half];
      weights += shfl_xor(weights, 1);
      weights += shfl_xor(weights, 2);
      const int flat =
          block.row0 + (warp_id() * S::kRowTiles + tile) * 16 + half * 8 + lane_id() / 4;
      if (flat >= rows) continue;
      const int64_t to = static_cast<int64_t>(flat / args.group) * args.heads +
                         block.kv_head * args.group + flat % args.group;
      float* const out = args.out + to * args.dim;
      const float part = 1 / weights;
#pragma unroll
      for (int n = 0; n < kWidth / 8; ++n) {
        const int e = 8 * n + 2 * (lane_id() % 4);
        const float a = sums.o[tile][n][2 * half] * part;
        const float b = sums.o[tile][n][2 * half + 1] * part;
        if (args.dim % 2 == 0 && e < args.dim) {
          store(out + e, Vec<float, 2>{{a, b}});
        } else {
          if (e < args.dim) out[e] = a;
          if (e + 1 < args.dim) out[e + 1] = b;
        }
      }
    }
  }
}

}  // namespace hone::cuda::prefill_detail
