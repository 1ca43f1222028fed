#include "libcommon/graph/difference.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/check.h"

namespace hone {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();
constexpr double kUlpShare = 0.01;

// Floats in order of value as integers in order: neighbours differ by one.
int64_t ordinal(float x) {
  const auto bits = std::bit_cast<int32_t>(x);
  return bits >= 0 ? int64_t{bits} : -int64_t{bits & 0x7fffffff};
}

}  // namespace

Difference compare(std::span<const float> a, std::span<const float> b) {
  CHECK(a.size() == b.size());
  double largest = 0;
  for (float x : b) largest = std::max(largest, std::fabs(static_cast<double>(x)));
  Difference result;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i]) continue;
    const double apart = std::fabs(static_cast<double>(a[i]) - b[i]);
    if (!std::isfinite(apart)) return {kInfinite, kInfinite, kInfinite};
    result.absolute = std::max(result.absolute, apart);
    if (std::fabs(b[i]) < kUlpShare * largest) continue;
    const auto steps = static_cast<double>(std::abs(ordinal(a[i]) - ordinal(b[i])));
    result.ulp = std::max(result.ulp, steps);
  }
  if (result.absolute > 0) result.relative = largest > 0 ? result.absolute / largest : kInfinite;
  return result;
}

Difference worst(const Difference& a, const Difference& b) {
  return {std::max(a.absolute, b.absolute), std::max(a.relative, b.relative),
          std::max(a.ulp, b.ulp)};
}

}  // namespace hone
