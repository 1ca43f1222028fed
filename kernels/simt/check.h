// Optional checkers of every memory access a kernel makes. They need SIMT_CHECK defined everywhere
// and kernels compiled with -fsanitize=thread, which makes the compiler report each access. To
// whom, is chosen when linking:
//   check.cpp  our own shadow of memory: races, uninitialised reads, accesses outside allocations,
//              data touched while an asynchronous copy is on its way
//   tsan.cpp   ThreadSanitizer, to which every fiber is a thread: races
#pragma once

#include <cstddef>
#include <cstring>

namespace hone::simt::emu {

// A place in a kernel's source; std::source_location, for compilers that lack it.
struct Where {
  const char* file = "";
  int line = 0;
  static constexpr Where current(const char* f = __builtin_FILE(), int l = __builtin_LINE()) {
    return {f, l};
  }
  bool operator==(const Where&) const = default;
};

namespace check {

enum class Kind { read, write, atomic };

#ifdef SIMT_CHECK
constexpr bool kOn = true;
extern const bool kRacesOnly;  // the one that is linked sees nothing else
// Memory: global memory and room for shared memory, which lie in one region with a shadow.
void* allocate(size_t bytes);
void deallocate(void* p);
void* arena(size_t bytes);
void variable(void* p, size_t bytes);  // a piece of the arena that may be used, not yet written
void initialised(const void* p, size_t bytes);        // by the host, before any kernel runs
void written_by_kernel(const void* p, size_t bytes);  // by one that may still run
void settled(const void* p, size_t bytes);            // kernels that wrote there have ended
// Accesses made for a kernel by the emulator. read() and write() copy as well.
void access(const void* p, size_t bytes, Kind kind, Where at);
void read(void* to, const void* p, size_t bytes, Where at);
void write(void* p, const void* from, size_t bytes, Where at);
void copy_begins(void* dst, size_t bytes, Where at);
void copy_landed(void* dst, size_t bytes);
// Order: what comes before what.
void launch_begins();
void launch_ends();
void block_begins(void* arena, size_t bytes, unsigned threads, bool overlap);
// Throws what was found and not thrown yet. After a failure, threads are left where they are.
void block_ends(bool failed);
void waited_for_previous();
void block_synced();
void warp_synced(unsigned mask);
void fenced();
// Who runs from now on: a thread of the block, or what started it.
void switches_to(unsigned thread);
void switches_home();
// Between these, what the thread does is the emulator's own work, except through read(), write()
// and access().
void work_begins();
void work_ends();
#else
constexpr bool kOn = false, kRacesOnly = false;
inline void* allocate(size_t) { return nullptr; }
inline void deallocate(void*) {}
inline void* arena(size_t) { return nullptr; }
inline void variable(void*, size_t) {}
inline void initialised(const void*, size_t) {}
inline void written_by_kernel(const void*, size_t) {}
inline void settled(const void*, size_t) {}
inline void access(const void*, size_t, Kind, Where) {}
inline void read(void* to, const void* p, size_t n, Where) { std::memcpy(to, p, n); }
inline void write(void* p, const void* from, size_t n, Where) { std::memcpy(p, from, n); }
inline void copy_begins(void*, size_t, Where) {}
inline void copy_landed(void*, size_t) {}
inline void launch_begins() {}
inline void launch_ends() {}
inline void block_begins(void*, size_t, unsigned, bool) {}
inline void block_ends(bool) {}
inline void waited_for_previous() {}
inline void block_synced() {}
inline void warp_synced(unsigned) {}
inline void fenced() {}
inline void switches_to(unsigned) {}
inline void switches_home() {}
inline void work_begins() {}
inline void work_ends() {}
#endif

// The emulator at work in a thread of a kernel.
struct Work {
  Work() { work_begins(); }
  Work(const Work&) = delete;
  ~Work() { work_ends(); }
};

}  // namespace check
}  // namespace hone::simt::emu
