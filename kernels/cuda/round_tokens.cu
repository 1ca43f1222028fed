// Rounding of activations for quantize_input: a block a token, its largest magnitude, then each
// element over the step that this gives.
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/products.h"
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

// x may be values: a thread writes what it alone reads.
template <int kWidth>
__global__ void __launch_bounds__(kThreads)
    round_tokens_kernel(const float* input, float* output, float* steps, int64_t columns,
                        bool fp8) {
  SIMT_SHARED(scratch, float[simt::kWarpSize]);
  const float not_finite = simt::bits<float>(0x7f800000u);  // infinity, also for a NaN
  simt::start_next();
  simt::wait_for_previous();
  const float* const x = input + blockIdx.x * columns;
  float* const values = output + blockIdx.x * columns;
  const int64_t first = int64_t{threadIdx.x} * kWidth, stride = int64_t{kThreads} * kWidth;

  float largest = 0;
  for (int64_t c = first; c < columns; c += stride) {
    const auto v = simt::load<kWidth>(x + c);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      const float magnitude = fabsf(v[e]);
      if (!(magnitude <= largest)) largest = magnitude < not_finite ? magnitude : not_finite;
    }
  }
  largest = block_max(largest, scratch);

  const bool finite = largest < not_finite;
  float step = largest / (fp8 ? 448.0f : 127.5f);
  if (step == 0) step = 0x1p-23f;
  for (int64_t c = first; c < columns; c += stride) {
    auto v = simt::load<kWidth>(x + c);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      const float scaled = v[e] / step;
      v[e] = finite ? (fp8 ? to_fp8(scaled) : to_int8(scaled)) : 0.0f;
    }
    simt::store(values + c, v);
  }
  if (threadIdx.x == 0) steps[blockIdx.x] = finite ? step : simt::bits<float>(0x7fffffffu);
}

}  // namespace

void round_tokens(Context& context, const RoundTokensArgs& args) {
  if (args.tokens == 0) return;
  const bool wide = args.columns % 4 == 0 && aligned16(args.x) && aligned16(args.values);
  simt::launch(wide ? round_tokens_kernel<4> : round_tokens_kernel<1>,
               {static_cast<unsigned>(args.tokens)}, {kThreads}, 0, context.stream, args.x,
               args.values, args.steps, args.columns, args.fp8);
}

}  // namespace hone::cuda
