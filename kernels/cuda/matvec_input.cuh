// Activations as B fragments of mma.m16n8k16: for each token two 16-bit floats that add up to it,
// the order of columns that of decoded weights, in shared memory as lanes load them.
#pragma once

#include "kernels/cuda/matvec_args.cuh"

namespace hone::cuda::matvec_detail {

struct Eight {
  float v[8];
};

// The first of each four columns that lane t of a quad multiplies in a block of 32.
template <Form F>
__device__ __forceinline__ int fragment_column(int t, int four) {
  if constexpr (F == Form::kI8 || F == Form::kF8) return 16 * four + 4 * t;
  return 8 * t + 4 * four;
}

// The same of 2:4 matrices, four pairs of columns of the block that one mma.m16n8k32 takes. Its
// first four quadruples are the lanes' first of the block, then come their second (weights.h).
template <bool kInside>
__device__ __forceinline__ Eight load_eight_sparse(const float* row, int64_t columns,
                                                   int64_t block) {
  const int t = lane_id() % 4;
  const int64_t first = block * kBlockColumns + t / 2 * 8 + t % 2 * 2;
  Eight x;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int64_t column = first + i % 2 * 16 + i / 2 * 4;
    if constexpr (kInside) {
      const Vec<float, 2> v = load<2>(row + column);
      x.v[2 * i] = v[0];
      x.v[2 * i + 1] = v[1];
    } else {
      x.v[2 * i] = column < columns ? row[column] : 0.0f;
      x.v[2 * i + 1] = column + 1 < columns ? row[column + 1] : 0.0f;
    }
  }
  return x;
}

// kInside: all of the strip lies inside the row, and can be read by 16 bytes.
template <Form F, bool kInside>
__device__ __forceinline__ Eight load_eight(const float* row, int64_t columns, int64_t block) {
  if constexpr (is_sparse(F)) {
    return load_eight_sparse<kInside>(row, columns, block);
  } else {
    Eight x;
#pragma unroll
    for (int four = 0; four < 2; ++four) {
      const int64_t column = block * kBlockColumns + fragment_column<F>(lane_id() % 4, four);
      if constexpr (kInside) {
        const Vec<float, 4> v = load<4>(row + column);
#pragma unroll
        for (int i = 0; i < 4; ++i) x.v[4 * four + i] = v[i];
      } else {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          x.v[4 * four + i] = column + i < columns ? row[column + i] : 0.0f;
        }
      }
    }
    return x;
  }
}

__device__ __forceinline__ bool is_finite(float v) {
  return (bits<uint32_t>(v) & 0x7f800000) != 0x7f800000;
}

// Two numbers as pairs of 16-bit floats whose sum they are, high halves and low. An infinity has no
// low half.
template <Form F>
__device__ __forceinline__ void split(float a, float b, uint32_t* high, uint32_t* low) {
  float high_a, high_b;
  if constexpr (is_brain(F)) {
    *high = bf16x2_pack(a, b);
    high_a = bits<float>(*high << 16);
    high_b = bits<float>(*high & 0xffff0000);
  } else {
    *high = f16x2_pack(a, b);
    high_a = detail::f16_to_float(static_cast<uint16_t>(*high));
    high_b = detail::f16_to_float(static_cast<uint16_t>(*high >> 16));
  }
  const float low_a = is_finite(high_a) ? a - high_a : 0.0f;
  const float low_b = is_finite(high_b) ? b - high_b : 0.0f;
  *low = is_brain(F) ? bf16x2_pack(low_a, low_b) : f16x2_pack(low_a, low_b);
}

// The elements of pair i of 4 in the order that decoding gives weights in.
template <Form F>
__device__ __forceinline__ int pair_element(int i, int half) {
  if constexpr (F == Form::kI4) return i + 4 * half;
  if constexpr (F == Form::kI8) return i / 2 * 4 + i % 2 + 2 * half;
  return 2 * i + half;
}

// A factor 2^n that brings `largest` into [2^14, 2^15), as far as floats reach.
__device__ __forceinline__ float range_factor(float largest) {
  const int exponent = static_cast<int>(bits<uint32_t>(largest) >> 23);
  const int wanted = 127 + 14 + 127 - exponent;
  return bits<float>(static_cast<uint32_t>(wanted > 253 ? 253 : wanted) << 23);
}
__device__ __forceinline__ float inverse_of_power(float factor) {
  return bits<float>((254u << 23) - bits<uint32_t>(factor));
}

// One warp's strip of one token.
template <Form F, bool kInside, int kBatch>
struct TokenStrip {
  static constexpr int kStep = kWarpSize / 4;  // blocks of columns that a warp turns at once

  const MatvecArgs& args;
  const float* row;
  int64_t first;  // block of columns
  int blocks;
  Eight x[kBatch];
  float squares = 0;  // of this lane's activations before the norm
  bool finite = true;

  __device__ __forceinline__ int block_of(int base, int i) const {
    return base + i * kStep + lane_id() / 4;
  }

  // Loads activations times the norm's weight. All loads are on their way before the first is used.
  __device__ __forceinline__ void load_batch(int base, bool count_squares) {
    Eight weight[kBatch];
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int b = block_of(base, i) < blocks ? block_of(base, i) : blocks - 1;
      x[i] = load_eight<F, kInside>(row, args.columns, first + b);
      if (args.norm) weight[i] = load_eight<F, kInside>(args.norm, args.columns, first + b);
    }
    if (!args.norm) return;
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const bool counts = count_squares && block_of(base, i) < blocks;
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        if (counts) squares += x[i].v[e] * x[i].v[e];
        x[i].v[e] *= weight[i].v[e];
      }
    }
  }

  __device__ __forceinline__ float largest() {
    float most = 0;
    for (int base = 0; base < blocks; base += kBatch * kStep) {
      load_batch(base, true);
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
#pragma unroll
        for (int e = 0; e < 8; ++e) {
          const float magnitude = fabsf(x[i].v[e]);
          if (is_finite(magnitude) && magnitude > most) most = magnitude;
        }
      }
    }
    return warp_max(most);
  }

  // to: this lane's unit in the first block; blocks are block_words apart.
  __device__ __forceinline__ void write(float factor, uint32_t* to, int block_words) {
    for (int base = 0; base < blocks; base += kBatch * kStep) {
      if (is_brain(F) || blocks > kBatch * kStep) load_batch(base, is_brain(F));
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        if (block_of(base, i) >= blocks) break;
        if constexpr (is_sparse(F)) {
#pragma unroll
          for (int e = 0; e < 8; ++e) finite = finite && is_finite(x[i].v[e]);
        }
        Vec<uint32_t, 4> parts[2];
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          split<F>(x[i].v[pair_element<F>(e, 0)] * factor, x[i].v[pair_element<F>(e, 1)] * factor,
                   &parts[0][e], &parts[1][e]);
        }
        store(to + block_of(base, i) * block_words, parts[0]);
        store(to + block_of(base, i) * block_words + 16, parts[1]);
      }
    }
  }
};

// One warp turns its strip of one token into fragments. Returns what undoes the strip's factor;
// *squares: their sum over the strip.
template <Form F, bool kInside, int kBatch>
__device__ __forceinline__ float prepare_token(const MatvecArgs& args, int token, int64_t first,
                                               int blocks, uint32_t* fragments, float* squares) {
  TokenStrip<F, kInside, kBatch> strip{args, args.x + token * args.columns, first, blocks, {}, 0};
  const float factor = is_brain(F) ? 1.0f : range_factor(strip.largest());
  strip.write(factor, fragments + (token * 8 + lane_id() % 4) * 4, args.tokens * 32);
  *squares = warp_sum(strip.squares);
  // A pruned weight meets no activation, as if 0 * NaN were 0: then everything becomes NaN.
  if (is_sparse(F) && warp_ballot(!strip.finite) != 0) return bits<float>(0x7fffffffu);
  return inverse_of_power(factor);
}

// kBatch: loads of 256 columns that are on their way together.
template <Form F, int kBatch>
__device__ __forceinline__ float prepare(const MatvecArgs& args, const Strip& strip, int token,
                                         uint32_t* fragments, float* squares) {
  constexpr int kBlocks = segment_columns(F) / kBlockColumns;
  const int64_t first = int64_t{strip.first} * kBlocks;
  const int blocks = strip.count * kBlocks;
  if (args.vectors && (first + blocks) * kBlockColumns <= args.columns) {
    return prepare_token<F, true, kBatch>(args, token, first, blocks, fragments, squares);
  }
  return prepare_token<F, false, kBatch>(args, token, first, blocks, fragments, squares);
}

}  // namespace hone::cuda::matvec_detail
