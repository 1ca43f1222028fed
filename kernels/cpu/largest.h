// The largest of a row of logits.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace hone::cpu {

// Its index, the lowest of equals; -1 as ArgmaxArgs says.
inline int32_t largest(const float* x, int64_t dim) {
  int64_t best = 0;
  bool finite = false;
  for (int64_t i = 0; i < dim; ++i) {
    if (!(x[i] < std::numeric_limits<float>::infinity())) return -1;
    finite = finite || std::isfinite(x[i]);
    if (x[i] > x[best]) best = i;
  }
  return finite ? static_cast<int32_t>(best) : -1;
}

}  // namespace hone::cpu
