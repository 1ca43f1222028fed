// How far ahead one stream of weights must be asked for.
#pragma once

#include <cstdint>

namespace hone::cpu {

// Bytes. 0: the processor's own prefetchers do it. Those of a Zen 4 fill memory's bandwidth with
// one stream per core, and asking as well took a tenth of it; those of a Sapphire Rapids leave a
// quarter unused.
inline int64_t stream_ahead() {
#if defined(__x86_64__)
  static const int64_t ahead = __builtin_cpu_is("amd") ? 0 : 4096;
  return ahead;
#else
  return 4096;
#endif
}

}  // namespace hone::cpu
