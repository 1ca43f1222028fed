// How products of many tokens keep numbers within the range of f16, which ends at 65504 and loses
// digits below 6e-5: activations are stored 16 times smaller, for some models have single ones
// beyond 65504; decoded weights 16 times larger, for they are small.
#pragma once

#include "kernels/simt/device.h"

namespace hone::cuda {

inline constexpr float kF16Factor = 16;
inline constexpr float kLargestF16 = 65504;

// A finite number stays finite.
__device__ __forceinline__ float saturated(float x) {
  const float magnitude = fabsf(x);
  const bool beyond = magnitude > kLargestF16 && magnitude < simt::bits<float>(0x7f800000u);
  return beyond ? (x < 0 ? -kLargestF16 : kLargestF16) : x;
}

}  // namespace hone::cuda
