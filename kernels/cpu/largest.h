// The largest of a row of logits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

namespace hone::cpu {

// Its index, the lowest of equals; -1 as ArgmaxArgs says.
inline int32_t largest(const float* x, int64_t dim) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr int64_t kBeside = 16;  // maxima that compilers keep in vectors
  float maxima[kBeside];
  std::fill_n(maxima, kBeside, -kInfinity);
  int unordered = 0;  // NaN or infinity
  const auto take = [&](int64_t i, int64_t k) {
    maxima[k] = x[i] > maxima[k] ? x[i] : maxima[k];
    unordered |= static_cast<int>(!(x[i] < kInfinity));
  };
  const int64_t whole = dim / kBeside * kBeside;
  for (int64_t i = 0; i < whole; i += kBeside) {
    for (int64_t k = 0; k < kBeside; ++k) take(i + k, k);
  }
  for (int64_t i = whole; i < dim; ++i) take(i, 0);
  const float maximum = *std::max_element(maxima, maxima + kBeside);
  if (unordered != 0 || maximum == -kInfinity) return -1;
  return static_cast<int32_t>(std::find(x, x + dim, maximum) - x);
}

}  // namespace hone::cpu
