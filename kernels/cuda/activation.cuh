// Activation functions in f32, within a few ulp of |x|.
#pragma once

#include "kernels/ops.h"
#include "kernels/simt/device.h"

namespace hone::cuda {

// x / (1 + exp(-x)); the same form serves tanh: 1 + tanh(u) = 2 / (1 + exp(-2u)), which does not
// cancel for negative u.
__device__ __forceinline__ float times_sigmoid(float x, float of) {
  return x / (1.0f + simt::fast_exp(-of));
}

__device__ __forceinline__ float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kSilu:
      return times_sigmoid(x, x);
    case Activation::kGelu:
      return x * 0.5f * erfcf(x * -0.70710678118654752f);  // 1 + erf(y) without cancellation
    case Activation::kGeluTanh: {
      constexpr float kTwiceRoot = 1.5957691216057308f;  // 2 sqrt(2 / pi)
      return times_sigmoid(x, kTwiceRoot * (x + 0.044715f * x * x * x));
    }
  }
  return x;
}

}  // namespace hone::cuda
