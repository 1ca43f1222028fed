// Rounding of activations for quantize_input: a block a token, its largest magnitude, then each
// element over the step that this gives.
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/row_part.cuh"
#include "kernels/cuda/rows.cuh"

namespace hone::cuda {
namespace {

constexpr int kThreads = 256;

// The nearest fp8 (E4M3) value, ties to even, at most 448: seven steps of eighths between powers
// of two, and multiples of 2^-9 below 2^-6.
__device__ __forceinline__ float to_fp8(float x) {
  const auto raw = simt::bits<uint32_t>(x);
  const uint32_t rounded = (raw + 0x7ffffu + (raw >> 20 & 1)) & ~0xfffffu;
  const float normal = simt::bits<float>(rounded);
  const float value = fabsf(x) < 0x1p-6f ? rintf(x * 0x1p9f) * 0x1p-9f : normal;
  return fminf(fmaxf(value, -448.0f), 448.0f);
}

__device__ __forceinline__ float to_int8(float x) {
  return fminf(fmaxf(rintf(x), -128.0f), 127.0f);
}

// Over the block; every thread gets it.
__device__ __forceinline__ float block_max(float v, float (&scratch)[simt::kWarpSize]) {
  v = simt::warp_max(v);
  if (simt::lane_id() == 0) scratch[simt::warp_id()] = v;
  simt::sync_block();
  return simt::warp_max(scratch[simt::lane_id() % (kThreads / simt::kWarpSize)]);
}

// What to_fp8 gives, as its byte: its fields are those of a float 2^120 times smaller.
__device__ __forceinline__ uint32_t fp8_code(float value) {
  return simt::bits<uint32_t>(fabsf(value) * 0x1p-120f) >> 20 |
         (simt::bits<uint32_t>(value) >> 24 & 0x80u);
}
__device__ __forceinline__ uint32_t int8_code(float value) {
  return static_cast<uint32_t>(static_cast<int>(value)) & 0xffu;
}

// Column c of a row whose words are turned as those of placed rows of bytes.
__device__ __forceinline__ int64_t turned(int64_t c) {
  const int64_t word = c / 4 % 16;
  return c / 64 * 64 + (word % 4 * 4 + word / 4) * 4 + c % 4;
}

// x may be values: a thread writes what it alone reads.
template <bool kCodes, int kWidth>
__global__ void __launch_bounds__(kThreads, 4) round_tokens_kernel(RoundTokensArgs args) {
  SIMT_SHARED(squares, double[simt::kWarpSize]);
  SIMT_SHARED(scratch, float[simt::kWarpSize]);
  using Vector = simt::Vec<float, kWidth>;
  const float not_finite = simt::bits<float>(0x7f800000u);  // infinity, also for a NaN
  simt::start_next();
  simt::wait_for_previous();
  const RowPart<kWidth> part({args.x, args.columns}, blockIdx.x);
  const RowNorm<kWidth> normalised(args.norm, part, args.columns, squares);

  float largest = 0;
  part.each([&](int64_t c, const Vector& input) {
    const Vector v = normalised(c, input);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      const float magnitude = fabsf(v[e]);
      if (!(magnitude <= largest)) largest = magnitude < not_finite ? magnitude : not_finite;
    }
  });
  largest = block_max(largest, scratch);

  const bool finite = largest < not_finite;
  float step = largest / (args.fp8 ? 448.0f : 127.5f);
  if (step == 0) step = 0x1p-23f;
  uint8_t* const codes = args.codes + blockIdx.x * args.code_stride;
  part.each([&](int64_t c, const Vector& input) {
    Vector v = normalised(c, input);
    uint32_t code = 0;  // of all, the first lowest
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      const float scaled = v[e] / step;
      v[e] = finite ? (args.fp8 ? to_fp8(scaled) : to_int8(scaled)) : 0.0f;
      if constexpr (kCodes) code |= (args.fp8 ? fp8_code(v[e]) : int8_code(v[e])) << 8 * e;
    }
    if constexpr (!kCodes)
      simt::store(args.values + blockIdx.x * args.columns + c, v);
    else if constexpr (kWidth == 1)
      codes[turned(c)] = static_cast<uint8_t>(code);
    else
      *reinterpret_cast<uint32_t*>(codes + turned(c)) = code;
  });
  if constexpr (kCodes) {
    for (int64_t c = args.columns + threadIdx.x; c < args.code_stride; c += kThreads) {
      codes[turned(c)] = 0;
    }
  }
  if (threadIdx.x == 0) {
    args.steps[blockIdx.x] = finite ? step : simt::bits<float>(0x7fffffffu);
  }
}

template <bool kCodes>
void launch_round(Context& context, const RoundTokensArgs& args) {
  const bool wide = args.columns % 4 == 0 && aligned16(args.x) && aligned16(args.norm.weight) &&
                    aligned16(args.values);
  simt::launch(wide ? round_tokens_kernel<kCodes, 4> : round_tokens_kernel<kCodes, 1>,
               {static_cast<unsigned>(args.tokens)}, {kThreads}, 0, context.stream, args);
}

}  // namespace

void round_tokens(Context& context, const RoundTokensArgs& args) {
  if (args.tokens == 0) return;
  args.codes ? launch_round<true>(context, args) : launch_round<false>(context, args);
}

}  // namespace hone::cuda
