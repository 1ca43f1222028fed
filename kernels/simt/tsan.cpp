// ThreadSanitizer as the checker of kernels: each fiber is one of its threads (fiber API of
// sanitizer/tsan_interface.h), and only what orders memory on a GPU orders it here. Switching
// fibers does not; barriers, sync_warp(), fences with atomic updates, and the ends of launches do:
// an access is known to come before another when a chain of release and acquire leads from one to
// the other, and a report is a race.
//
// Identities are reused from block to block, since each takes milliseconds and most of a megabyte.
#include <fcntl.h>
#include <sanitizer/tsan_interface.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "kernels/simt/emu.h"
#include "kernels/simt/site.h"

// Of the runtime, without a header.
extern "C" {
void __tsan_ignore_thread_begin();
void __tsan_ignore_thread_end();
void __tsan_read_range_pc(void* p, size_t bytes, void* pc);
void __tsan_write_range_pc(void* p, size_t bytes, void* pc);
uint32_t __tsan_atomic32_fetch_add(volatile uint32_t* p, uint32_t value, int order);
uint64_t __tsan_atomic64_fetch_add(volatile uint64_t* p, uint64_t value, int order);
int __tsan_get_report_mop(void* report, size_t index, int* thread, void** address, int* bytes,
                          int* is_write, int* is_atomic, void** trace, size_t trace_size);
const char* __tsan_default_options();
void __tsan_on_report(void* report);
}

namespace hone::simt::emu::check {
namespace {

// A thread as ThreadSanitizer knows it.
struct Identity {
  void* fiber = nullptr;
  unsigned working = 0;  // depth of work_begins()
};

// The identities of one worker's threads. Its blocks are in order, one after the other, since they
// share stacks and shared memory; those of two workers are not.
struct Crew {
  std::vector<Identity> threads = std::vector<Identity>(1024);
  unsigned count = 0;  // in the block that runs, or ran last
  const char* arena = nullptr;
  size_t arena_bytes = 0;
  bool fenced = false;  // a thread of the block has called thread_fence()
  // What threads release to and acquire from: the addresses of these.
  char barrier = 0, block_end = 0;
  std::map<std::pair<unsigned, unsigned>, char> warp_meetings;  // by first thread and lanes
};
std::map<const void*, Crew> crews;  // by arena
Crew* crew = nullptr;               // whose block runs
char launch_begin;
Identity home;
Identity* now = &home;  // who runs

struct Access {
  const char* address;
  bool is_write;
  Site site;
};
std::vector<Access> reported;  // of the first race that was not thrown yet: both

void report_to(int file) {
  __sanitizer_set_report_fd(reinterpret_cast<void*>(static_cast<intptr_t>(file)));
}
void become(Identity& who) {
  now = &who;
  __tsan_switch_to_fiber(who.fiber, __tsan_switch_to_fiber_no_sync);
}
// Does something as each thread of the block.
template <class F>
void as_each(unsigned mask, unsigned first, F f) {
  Identity& before = *now;
  for (unsigned i = 0; i < 32 && first + i < crew->count; ++i) {
    if (!(mask >> i & 1)) continue;
    become(crew->threads[first + i]);
    f();
  }
  become(before);
}
template <class F>
void as_all(F f) {
  for (unsigned first = 0; first < crew->count; first += 32) as_each(~0u, first, f);
}

std::string take_report() {
  const auto [later, earlier] = std::pair(reported.at(0), reported.at(1));
  reported.clear();
  const bool shared =
      crew && later.address >= crew->arena && later.address < crew->arena + crew->arena_bytes;
  return std::string("race: ") + (later.is_write ? "writes " : "reads ") +
         (shared ? "shared" : "global") + " memory at " + name(later.site) + "; another thread " +
         (earlier.is_write ? "wrote" : "read") + " it at " + name(earlier.site);
}

}  // namespace

const bool kRacesOnly = true;

void* allocate(size_t bytes) { return ::operator new (bytes, std::align_val_t{256}); }
void deallocate(void* p) { ::operator delete (p, std::align_val_t{256}); }
void* arena(size_t bytes) { return allocate(bytes); }
void variable(void*, size_t) {}
void initialised(const void*, size_t) {}
void written_by_kernel(const void*, size_t) {}
void settled(const void*, size_t) {}

void access(const void* p, size_t bytes, Kind kind, Where at) {
  if (!current || bytes == 0) return;
  void* const address = const_cast<void*>(p);
  void* const site = reinterpret_cast<void*>(site_of(at));
  if (now->working) __tsan_ignore_thread_end();
  if (kind == Kind::read) {
    __tsan_read_range_pc(address, bytes, site);
  } else if (kind == Kind::write) {
    __tsan_write_range_pc(address, bytes, site);
  } else {
    // An update that sees others' is ordered after them, and after what they did before they
    // fenced.
    __tsan_acquire(address);
    if (bytes == 8)
      __tsan_atomic64_fetch_add(static_cast<uint64_t*>(address), 0, __ATOMIC_RELAXED);
    else
      __tsan_atomic32_fetch_add(static_cast<uint32_t*>(address), 0, __ATOMIC_RELAXED);
    if (crew->fenced) __tsan_release(address);
  }
  if (now->working) __tsan_ignore_thread_begin();
}
void read(void* to, const void* p, size_t bytes, Where at) {
  access(p, bytes, Kind::read, at);
  const Work work;
  std::memcpy(to, p, bytes);
}
void write(void* p, const void* from, size_t bytes, Where at) {
  access(p, bytes, Kind::write, at);
  const Work work;
  std::memcpy(p, from, bytes);
}
// To be written from the issue of a copy to its landing, by the thread that issued it.
void copy_begins(void* dst, size_t bytes, Where at) { access(dst, bytes, Kind::write, at); }
void copy_landed(void* dst, size_t bytes) { access(dst, bytes, Kind::write, Where::current()); }

void launch_begins() {
  report_to(STDERR_FILENO);
  home.fiber = __tsan_get_current_fiber();
  work_begins();
  __tsan_release(&launch_begin);
}
void launch_ends() {
  for (auto& [arena, c] : crews) __tsan_acquire(&c.block_end);
  work_ends();
}
void block_begins(void* arena, size_t bytes, unsigned threads, bool) {
  crew = &crews[arena];
  crew->arena = static_cast<const char*>(arena);
  crew->arena_bytes = bytes;
  crew->count = threads;
  crew->fenced = false;
  for (unsigned i = 0; i < threads; ++i)
    if (!crew->threads[i].fiber) crew->threads[i].fiber = __tsan_create_fiber(0);
  as_all([] {
    __tsan_acquire(&launch_begin);
    __tsan_acquire(&crew->block_end);
  });
}
void block_ends(bool failed) {
  as_all([] {
    __tsan_release(&crew->block_end);
    if (std::exchange(now->working, 0)) __tsan_ignore_thread_end();
  });
  // Those that were left in the middle of a kernel have a call stack.
  for (unsigned i = 0; failed && i < crew->count; ++i)
    __tsan_destroy_fiber(std::exchange(crew->threads[i].fiber, nullptr));
  if (!failed && !reported.empty()) fail(take_report());
}
void waited_for_previous() {}
void block_synced() {
  if (!reported.empty()) abandon(take_report());
  as_all([] { __tsan_release(&crew->barrier); });
  as_all([] { __tsan_acquire(&crew->barrier); });
}
void warp_synced(unsigned mask) {
  if (!reported.empty()) abandon(take_report());
  const unsigned first = thread_number() / 32 * 32;
  char* const meeting = &crew->warp_meetings[{first, mask}];
  as_each(mask, first, [=] { __tsan_release(meeting); });
  as_each(mask, first, [=] { __tsan_acquire(meeting); });
}
void fenced() { crew->fenced = true; }

void switches_to(unsigned thread) { become(crew->threads[thread]); }
void switches_home() { become(home); }
void work_begins() {
  if (now->working++ == 0) __tsan_ignore_thread_begin();
}
void work_ends() {
  if (--now->working == 0) __tsan_ignore_thread_end();
}

}  // namespace hone::simt::emu::check

// A race is an error of the launch, each time it is met. Copies by the host are no kernel's: what
// orders its threads, the library's pool, is not compiled for ThreadSanitizer.
const char* __tsan_default_options() {
  return "exitcode=0:suppress_equal_stacks=0:suppress_equal_addresses=0:"
         "ignore_interceptors_accesses=1";
}
void __tsan_on_report(void* report) {
  using namespace hone::simt::emu::check;
  if (!reported.empty()) return;
  static const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  report_to(nowhere);  // its kin, of which there may be thousands
  for (size_t i = 0; i < 2; ++i) {
    int thread, bytes, is_write = 0, is_atomic;
    void *address = nullptr, *trace[1] = {};
    __tsan_get_report_mop(report, i, &thread, &address, &bytes, &is_write, &is_atomic, trace, 1);
    reported.push_back({static_cast<const char*>(address), is_write != 0, site_of(trace[0])});
  }
}
