// The emulator's device memory, and atomic updates of memory. Host pointers among a kernel's
// arguments are found here.
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <mutex>
#include <new>

#include "kernels/simt/emu.h"
#include "kernels/simt/fiber.h"

namespace hone::simt::emu {
namespace {

std::mutex mutex;
std::map<const char*, size_t> buffers;  // device memory, by address
size_t in_use = 0;

bool in_device_memory(const void* p, size_t bytes) {
  const std::lock_guard lock(mutex);
  const auto* c = static_cast<const char*>(p);
  const auto after = buffers.upper_bound(c);
  if (after == buffers.begin()) return false;
  const auto& [begin, size] = *std::prev(after);
  return c <= begin + size && bytes <= static_cast<size_t>(begin + size - c);
}

// Numbers seldom look like this: what two small integers or a double have in these bits names no
// page that exists. With a sanitizer they do: its shadow is terabytes.
bool is_mapped(uintptr_t address) {
#ifdef SIMT_ASAN
  return false;
#endif
  if (check::kRacesOnly || address < 0x10000 || address >> 47) return false;
#ifdef __SANITIZE_ADDRESS__
  if (address < 0x100080000000) return false;  // AddressSanitizer's own shadow
#endif
  static const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  unsigned char resident;
  return mincore(reinterpret_cast<void*>(address & ~(page - 1)), 1, &resident) == 0;
}

}  // namespace

void* device_alloc(size_t bytes) {
  {
    const std::lock_guard lock(mutex);
    if (bytes > config().device_bytes - in_use) throw std::bad_alloc();
  }
  void* p = check::kOn ? check::allocate(bytes) : ::operator new (bytes, std::align_val_t{256});
  poison(p, bytes);
  const std::lock_guard lock(mutex);
  buffers[static_cast<char*>(p)] = bytes;
  in_use += bytes;
  return p;
}
void device_free(void* p) {
  if (!p) return;
  {
    const std::lock_guard lock(mutex);
    const auto it = buffers.find(static_cast<char*>(p));
    if (it == buffers.end()) fail("release of what is not device memory");
    in_use -= it->second;
    buffers.erase(it);
  }
  if (check::kOn)
    check::deallocate(p);
  else
    ::operator delete (p, std::align_val_t{256});
}
size_t device_bytes_in_use() {
  const std::lock_guard lock(mutex);
  return in_use;
}
void require_device_memory(const void* p, size_t bytes) {
  if (!in_device_memory(p, bytes)) fail("a pointer is not to device memory, or past its end");
}
void require_no_host_pointers(const void* argument, size_t bytes) {
  for (size_t i = 0; i + sizeof(uintptr_t) <= bytes; i += sizeof(uintptr_t)) {
    uintptr_t word;
    std::memcpy(&word, static_cast<const char*>(argument) + i, sizeof word);
    if (is_mapped(word) && !in_device_memory(reinterpret_cast<void*>(word), 0))
      fail("launch: byte " + std::to_string(i) + " of an argument is a pointer to host memory");
  }
}

template <class T>
T fetch_add(T* p, T v, Where at) {
  check::access(p, sizeof(T), check::Kind::atomic, at);
  return std::atomic_ref<T>(*p).fetch_add(v, std::memory_order_relaxed);
}
template <class T>
T fetch_max(T* p, T v, Where at) {
  check::access(p, sizeof(T), check::Kind::atomic, at);
  std::atomic_ref<T> a(*p);
  T old = a.load();
  while (old < v && !a.compare_exchange_weak(old, v)) {
  }
  return old;
}
template <class T>
T fetch_or(T* p, T v, Where at) {
  check::access(p, sizeof(T), check::Kind::atomic, at);
  return std::atomic_ref<T>(*p).fetch_or(v, std::memory_order_relaxed);
}
template int fetch_add(int*, int, Where);
template unsigned fetch_add(unsigned*, unsigned, Where);
template unsigned long long fetch_add(unsigned long long*, unsigned long long, Where);
template float fetch_add(float*, float, Where);
template int fetch_max(int*, int, Where);
template unsigned fetch_max(unsigned*, unsigned, Where);
template unsigned fetch_or(unsigned*, unsigned, Where);

}  // namespace hone::simt::emu
