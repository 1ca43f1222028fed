// Whether this processor permutes and expands bytes and words, and multiplies them by matrices of
// bits: AVX-512 VBMI, VBMI2 and GFNI, which all came at once.
#pragma once

namespace hone::cpu {

inline bool has_vbmi() {
#if defined(__x86_64__)
  static const bool has = __builtin_cpu_supports("avx512vbmi") &&
                          __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("gfni");
  return has;
#else
  return false;
#endif
}

}  // namespace hone::cpu
