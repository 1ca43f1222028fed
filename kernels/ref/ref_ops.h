// The ops of the reference backend. They read and write f32 and compute in double.
#pragma once

#include <cmath>

#include "kernels/backend.h"

namespace hone::ref {

#define X(name, Args) void name(BackendContext&, const Args&);
FOR_EACH_OP(X)
#undef X

// Index of the largest, the lowest of equals; -1 as ArgmaxArgs says.
int32_t largest(const float* x, int64_t dim);

inline double activate(Activation activation, double x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kGelu:
      return x / 2 * std::erfc(-x / std::sqrt(2.0));  // 1 + erf(y) without cancellation
    case Activation::kGeluTanh: {
      const double pi = std::acos(-1.0);
      return x / 2 * (1 + std::tanh(std::sqrt(2 / pi) * (x + 0.044715 * x * x * x)));
    }
  }
  return x;
}

}  // namespace hone::ref
