// What the processor says of its caches.
#pragma once

#include <unistd.h>

#include <cstdint>

namespace hone::cpu {

// Bytes of a core's first cache of data; 0: unknown.
inline int64_t level1_bytes() {
#if defined(__GLIBC__)
  static const int64_t bytes = sysconf(_SC_LEVEL1_DCACHE_SIZE);
  return bytes;
#else
  return 0;
#endif
}

}  // namespace hone::cpu
