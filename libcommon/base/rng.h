// Random numbers as kernels/random.h draws them, and those that need more than integers.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/random.h"

namespace hone {

// Standard normal (Box-Muller, cosine half; two uniforms from one draw of 64 bits would correlate,
// so the second comes from another stream).
inline double random_normal(uint64_t seed, uint64_t stream, uint64_t index) {
  const double u = 1.0 - random_uniform(seed, stream, index);
  const double v = random_uniform(seed, stream ^ 0x5851f42d4c957f2du, index);
  return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v);
}

}  // namespace hone
