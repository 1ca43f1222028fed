// Whether this processor multiplies and adds pairs of BF16: AVX-512 BF16.
#pragma once

namespace hone::cpu {

inline bool has_bf16_products() {
#if defined(__x86_64__)
  static const bool has = __builtin_cpu_supports("avx512bf16");
  return has;
#else
  return false;
#endif
}

}  // namespace hone::cpu
