// What the processor says of its caches, and how far ahead a stream of memory must be asked for.
#pragma once

#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <cstdint>
#include <cstdlib>

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

inline bool is_intel() {
#if defined(__x86_64__)
  unsigned most = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(0, &most, &b, &c, &d) && b == signature_INTEL_ebx;
#else
  return false;
#endif
}

// Bytes ahead of which each line of a stream is asked for into L2; 0: that is left to the
// processor. Two threads of an Emerald Rapids read 15 GB/s without asking, 26 GB/s 4 KiB ahead and
// 27 from 8 KiB on; a Zen 4 reads as much without, and asking takes up to a tenth longer.
// HONE_STREAM_AHEAD says otherwise, so that every route can be tested on every processor.
inline int64_t stream_ahead() {
  const char* const wanted = std::getenv("HONE_STREAM_AHEAD");
  if (wanted) return std::strtol(wanted, nullptr, 10);
  return is_intel() ? 8192 : 0;
}

inline const int64_t kStreamAhead = stream_ahead();

// Whether one row after the other is the best way through GGUF's blocks for one token. Of a stream
// of 29 GB/s an Emerald Rapids gets 17 as Q8_0 and 24 as Q4_0 so, asking ahead or not, and 26 of
// blocks of rows side by side; a Zen 4 gets more row after row.
inline const bool kBlocksRowByRow = kStreamAhead == 0;

inline void ask_for_stream(const void* line) {
  if (kStreamAhead > 0) __builtin_prefetch(static_cast<const char*>(line) + kStreamAhead, 0, 2);
}

}  // namespace hone::cpu
