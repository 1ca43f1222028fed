// Aligned memory from calloc: large blocks come zeroed and untouched from the kernel, so a
// key-value cache of great capacity costs only what is written. The word before the block keeps
// calloc's pointer.
#include "kernels/host_memory.h"

#include <cstdint>
#include <cstdlib>
#include <limits>
#include <new>

namespace hone {
namespace {
constexpr size_t kAlignment = 64;
}

void* allocate_host(size_t bytes) {
  constexpr size_t kExtra = kAlignment + sizeof(void*);
  if (bytes > std::numeric_limits<size_t>::max() - kExtra) throw std::bad_alloc();
  void* const whole = std::calloc(1, bytes + kExtra);
  if (!whole) throw std::bad_alloc();
  const uintptr_t first = reinterpret_cast<uintptr_t>(whole) + sizeof(void*);
  const uintptr_t aligned = (first + kAlignment - 1) / kAlignment * kAlignment;
  reinterpret_cast<void**>(aligned)[-1] = whole;
  return reinterpret_cast<void*>(aligned);
}

void release_host(void* memory) {
  if (memory) std::free(static_cast<void**>(memory)[-1]);
}

}  // namespace hone
