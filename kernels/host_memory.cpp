// Aligned memory from calloc: large blocks come zeroed and untouched from the kernel, so a
// key-value cache of great capacity costs only what is written. The word before the block keeps
// calloc's pointer. Large blocks ask for huge pages: reading a long cache through pages of 4 KB
// takes a tenth of the bandwidth.
#include "kernels/host_memory.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstdint>
#include <cstdlib>
#include <limits>
#include <new>

namespace hone {
namespace {

constexpr size_t kAlignment = 64;

// A wish: where the system has no huge pages, nothing changes.
void ask_for_huge_pages(uintptr_t first, size_t bytes) {
#if defined(__linux__)
  constexpr uintptr_t kHugePage = uintptr_t{2} << 20;
  if (bytes < 4 * kHugePage) return;
  const uintptr_t begin = (first + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t end = (first + bytes) / kHugePage * kHugePage;
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  static_cast<void>(first), static_cast<void>(bytes);
#endif
}

}  // namespace

void* allocate_host(size_t bytes) {
  constexpr size_t kExtra = kAlignment + sizeof(void*);
  if (bytes > std::numeric_limits<size_t>::max() - kExtra) throw std::bad_alloc();
  void* const whole = std::calloc(1, bytes + kExtra);
  if (!whole) throw std::bad_alloc();
  const uintptr_t first = reinterpret_cast<uintptr_t>(whole) + sizeof(void*);
  const uintptr_t aligned = (first + kAlignment - 1) / kAlignment * kAlignment;
  reinterpret_cast<void**>(aligned)[-1] = whole;
  ask_for_huge_pages(aligned, bytes);
  return reinterpret_cast<void*>(aligned);
}

void release_host(void* memory) {
  if (memory) std::free(static_cast<void**>(memory)[-1]);
}

}  // namespace hone
