// The emulator's scheduler: fibers, barriers, warp meetings, shared memory and launches.
#include "kernels/simt/emu.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>

#include "kernels/simt/fiber.h"

namespace hone::simt::emu {
namespace {

constexpr unsigned kMaxThreads = 1024, kWarp = 32;
constexpr size_t kRedzone = 64;
// Blocks of one OS thread take turns on so many workers: to ThreadSanitizer threads that run on one
// fiber are one, and would not race.
constexpr size_t kTurns = check::kOn ? 2 : 1;

struct Copy {
  void* dst;
  const void* src;
  size_t bytes, read, group;
};

// Lanes of a warp on their way into one operation.
struct Meeting {
  const char* op;
  Where at;
  unsigned mask, arrived;
};
struct WarpState : Warp {
  Meeting meetings[kWarp];
  unsigned active;  // which of them
};

struct Worker;
struct Slot : Thread {  // a thread with the emulator's private state
  Fiber fiber;
  Worker* worker;
  unsigned id, meeting;
  const char* waits_in = nullptr;  // the operation it waits in, or null
  Where waits_at;
  bool exited = false;
  std::vector<Copy> copies;
  size_t group = 0;     // asynchronous copies issued now belong to this group
  bool waited = false;  // for the previous kernel
};

struct Variable {
  const void* key;
  char* p;
  size_t bytes;
};

std::string name(Dim3 d) {
  std::string s(1, '(');
  return s.append(std::to_string(d.x))
             .append(",")
             .append(std::to_string(d.y))
             .append(",")
             .append(std::to_string(d.z)) +
         ")";
}
std::string name(const Where& at) {
  const std::string file = at.file;
  return file.substr(file.rfind('/') + 1) + ":" + std::to_string(at.line);
}

// Runs blocks, one at a time, on one OS thread.
struct Worker {
  std::vector<Slot> slots = std::vector<Slot>(kMaxThreads);
  WarpState warps[kMaxThreads / kWarp];
  std::unique_ptr<char[]> memory{check::kOn ? nullptr : new char[kArena + kAlignment]};
  char* arena =
      aligned(check::kOn ? static_cast<char*>(check::arena(kArena + kAlignment)) : memory.get());
  Fiber home;
  Block block;
  unsigned threads = 0, exited = 0, favourite = 0;
  uint64_t ready[kMaxThreads / 64];
  uint64_t rng = 1;
  std::vector<unsigned> paused;
  unsigned pauses = 0;
  unsigned at_barrier = 0;
  Where barrier_at;
  std::vector<Variable> variables;
  size_t arena_used = 0, dynamic_bytes = 0, limit = 0;  // limit: of all shared memory
  char* dynamic = nullptr;
  void (*body)(const void*) = nullptr;
  const void* context = nullptr;
  bool overlap = false;
  std::exception_ptr error;

  static constexpr size_t kArena = 256 * 1024;  // a block's most shared memory, and redzones
  static constexpr size_t kAlignment = 128;     // of dynamic shared memory
  static char* aligned(char* p) { return p + (-reinterpret_cast<uintptr_t>(p) & (kAlignment - 1)); }

  void run_block(const Block& b, size_t shared) {
    block = b;
    threads = b.dim.x * b.dim.y * b.dim.z;
    exited = at_barrier = pauses = 0;
    paused.clear();
    error = nullptr;
    std::fill(std::begin(ready), std::end(ready), 0);
    favourite = 0;
    rng = (config().seed + 1) * 0x9e3779b97f4a7c15 ^ (b.index.x + 65536ull * b.index.y + 1);
    if (config().order == Order::random) favourite = static_cast<unsigned>(random() % threads);
    variables.clear();
    poison_for_asan(arena, kArena);
    check::block_begins(arena, kArena, threads, overlap);
    arena_used = 0;
    dynamic_bytes = 0;
    limit = shared > kDynamicUnasked ? config().shared_limit : kSharedUnasked;
    dynamic = shared ? allocate(shared, kAlignment) : nullptr;
    dynamic_bytes = shared;
    for (unsigned i = 0; i < threads; ++i) {
      Slot& s = slots[i];
      s.index = {i % b.dim.x, i / b.dim.x % b.dim.y, i / b.dim.x / b.dim.y};
      s.block = &block;
      s.warp = &warps[i / kWarp];
      s.lane = i % kWarp;
      if (s.lane == 0) {
        warps[i / kWarp].lanes = threads - i < kWarp ? (1u << (threads - i)) - 1 : ~0u;
        warps[i / kWarp].active = 0;
      }
      s.worker = this;
      s.id = i;
      s.waits_in = nullptr;
      s.exited = false;
      s.copies.clear();
      s.group = 0;
      s.waited = !overlap;
      s.fiber.start(&Worker::enter);
      set_ready(i);
    }
    switch_to(home, next(), false);
    current = nullptr;
    check::block_ends(error != nullptr);
    if (error) std::rethrow_exception(error);
  }

  static void enter() {
    arrived_in_fiber();
    Slot& self = *static_cast<Slot*>(current);
    Worker& w = *self.worker;
    try {
      w.body(w.context);
      const check::Work work;
      if (!self.waited) fail("a thread ended without wait_for_previous()");
      self.exited = true;
      if (++w.exited < w.threads) w.switch_to(self.fiber, w.next(), true);
    } catch (...) {
      w.error = std::current_exception();
    }
    w.leave(self);  // abandons the block's other fibers if there was an error
  }
  void leave(Slot& self) {
    check::switches_home();
    switch_fiber(self.fiber, home, true);
  }

  void switch_to(Fiber& from, Slot& to, bool dying) {
    if (&from == &to.fiber) return;
    current = &to;
    check::switches_to(to.id);
    switch_fiber(from, to.fiber, dying);
  }

  void set_ready(unsigned i) { ready[i / 64] |= 1ull << i % 64; }

  uint64_t random() {
    rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
    return rng;
  }

  // Takes the next thread to run out of the ready set.
  Slot& next() {
    const unsigned words = (threads + 63) / 64;
    unsigned i = threads;
    if (config().order == Order::reverse) {
      for (unsigned w = words; w-- > 0 && i == threads;)
        if (ready[w]) i = 64 * w + 63 - std::countl_zero(ready[w]);
    } else {
      // Random: now and then a different thread becomes the favourite, and those after it.
      if (config().order == Order::random && random() % 64 == 0)
        favourite = static_cast<unsigned>(random() % threads);
      i = first_ready(favourite);
      if (i == threads && favourite) i = first_ready(0);
    }
    if (i == threads && !paused.empty()) {
      for (const unsigned p : std::exchange(paused, {})) resume(p);
      return next();
    }
    if (i == threads) deadlock();
    ready[i / 64] &= ~(1ull << i % 64);
    return slots[i];
  }
  unsigned first_ready(unsigned from) const {
    for (unsigned w = from / 64; w < (threads + 63) / 64; ++w) {
      const uint64_t set = w == from / 64 ? ready[w] & ~0ull << from % 64 : ready[w];
      if (set) return 64 * w + std::countr_zero(set);
    }
    return threads;
  }

  void suspend(const char* op, Where at) {
    Slot& self = *static_cast<Slot*>(current);
    self.waits_in = op;
    self.waits_at = at;
    switch_to(self.fiber, next(), false);
  }
  void resume(unsigned i) {
    slots[i].waits_in = nullptr;
    set_ready(i);
  }

  [[noreturn]] void deadlock() {
    std::string what = "deadlock: every thread waits for one that will not come";
    for (unsigned i = 0; i < threads;) {
      const auto state = [&](const Slot& s) {
        return s.exited     ? std::string("exited")
               : s.waits_in ? std::string(s.waits_in) + " at " + name(s.waits_at)
                            : std::string("running");
      };
      unsigned end = i + 1;
      while (end < threads && state(slots[end]) == state(slots[i])) ++end;
      what += "\n  threads " + std::to_string(i) + "-" + std::to_string(end - 1) + ": " +
              state(slots[i]);
      i = end;
    }
    fail(what);
  }

  char* allocate(size_t bytes, size_t align) {
    const auto base = reinterpret_cast<uintptr_t>(arena);
    const size_t start = ((base + arena_used + kRedzone + align - 1) & ~(align - 1)) - base;
    if (start + bytes + kRedzone > kArena) fail("shared memory exhausted");
    char* p = arena + start;
    arena_used = start + bytes;
    size_t total = bytes;
    for (const Variable& v : variables) total += v.bytes;
    total += dynamic_bytes;
    if (total > limit) fail("more shared memory than a block may have");
    unpoison_for_asan(p, bytes);
    poison(p, bytes);
    check::variable(p, bytes);
    return p;
  }
};

Worker& worker() { return *static_cast<Slot*>(current)->worker; }
Slot& self() { return *static_cast<Slot*>(current); }

}  // namespace

static bool says(const char* variable, const char* word) {
  const char* const text = std::getenv(variable);
  return text && std::strcmp(text, word) == 0;
}

Config& config() {
  static Config c = [] {
    Config from;
    if (says("SIMT_ORDER", "reverse")) from.order = Order::reverse;
    if (says("SIMT_ORDER", "random")) from.order = Order::random;
    if (says("SIMT_RECORDABLE", "apart")) from.recordable = Recordable::apart;
    if (says("SIMT_RECORDABLE", "none")) from.recordable = Recordable::none;
    return from;
  }();
  return c;
}

static Error error(const std::string& what) {
  if (!current) return Error("simt: " + what);
  return Error("simt: " + what + "\n  seen by thread " + name(current->index) + " of block " +
               name(current->block->index));
}
void fail(const std::string& what) { throw error(what); }

void require_recordable(bool overlap) {
  const Recordable takes = config().recordable;
  if (takes == Recordable::none || (takes == Recordable::apart && overlap)) {
    fail("operation not permitted when stream is capturing");
  }
}

void abandon(const std::string& what) {
  worker().error = std::make_exception_ptr(error(what));
  worker().leave(self());
  std::abort();
}

void barrier(Where at) {
  const check::Work work;
  Worker& w = worker();
  if (w.at_barrier == 0) w.barrier_at = at;
  if (w.barrier_at != at)
    fail("divergent barrier: some threads are at " + name(w.barrier_at) + ", others at " +
         name(at));
  if (++w.at_barrier < w.threads) return w.suspend("sync_block", at);
  w.at_barrier = 0;
  check::block_synced();
  for (unsigned i = 0; i < w.threads; ++i)
    if (i != self().id) w.resume(i);
}

void fence() {
  check::fenced();
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void yield() {
  const check::Work work;
  constexpr unsigned kPatience = 1'000'000;
  Worker& w = worker();
  if (++w.pauses > kPatience) fail("livelock: waiting for something that does not happen");
  // Last of all, whatever the order: the thread that is waited for must get its turn.
  w.paused.push_back(self().id);
  w.suspend("pause", {});
}

bool arrive(const char* op, unsigned mask, Where at) {
  const check::Work work;
  Slot& me = self();
  auto& warp = static_cast<WarpState&>(*me.warp);
  const unsigned bit = 1u << me.lane;
  mask &= warp.lanes;
  if (!(mask & bit)) fail(std::string(op) + ": the lane is not in its own mask");
  Meeting* mine = nullptr;
  for (unsigned left = warp.active; left; left &= left - 1) {
    Meeting& m = warp.meetings[std::countr_zero(left)];
    if (m.op == op && m.mask == mask && m.at == at)
      mine = &m;
    else if (m.mask & bit && m.arrived & mask)  // each waits for the other
      fail("divergent warp: some lanes are at " + std::string(m.op) + " (" + name(m.at) +
           "), others at " + op + " (" + name(at) + ")");
  }
  if (!mine) {
    me.meeting = std::countr_one(warp.active);
    warp.active |= 1u << me.meeting;
    mine = &warp.meetings[me.meeting];
    *mine = {op, at, mask, 0};
  }
  me.meeting = static_cast<unsigned>(mine - warp.meetings);
  mine->arrived |= bit;
  if (mine->arrived == mask) return true;
  worker().suspend(op, at);
  return false;
}

void depart() {
  Slot& me = self();
  auto& warp = static_cast<WarpState&>(*me.warp);
  const Meeting& m = warp.meetings[me.meeting];
  warp.active &= ~(1u << me.meeting);
  for (unsigned left = m.mask & ~(1u << me.lane); left; left &= left - 1)
    worker().resume(me.id - me.lane + std::countr_zero(left));
}

void* shared_allocation(const void* key, size_t bytes, size_t align) {
  const check::Work work;
  Worker& w = worker();
  for (const Variable& v : w.variables)
    if (v.key == key) return v.p;
  char* p = w.allocate(bytes, align);
  w.variables.push_back({key, p, bytes});
  return p;
}
void* dynamic_shared_allocation(size_t* bytes) {
  *bytes = worker().dynamic_bytes;
  return worker().dynamic;
}

void require_shared_range(const void* p, size_t bytes, const char* what) {
  const Worker& w = worker();
  const auto* c = static_cast<const char*>(p);
  if (w.dynamic && c >= w.dynamic && c + bytes <= w.dynamic + w.dynamic_bytes) return;
  for (const Variable& v : w.variables)
    if (c >= v.p && c + bytes <= v.p + v.bytes) return;
  fail(std::string(what) + ": not in this block's shared memory");
}

void copy_later(void* dst, const void* src, size_t bytes, size_t read, Where at) {
  const check::Work work;
  check::access(src, read, check::Kind::read, at);
  check::copy_begins(dst, bytes, at);
  poison(dst, bytes);
  self().copies.push_back({dst, src, bytes, read, self().group});
}
void commit_copies() { ++self().group; }
void wait_copies(size_t leave_pending) {
  const check::Work work;
  auto& copies = self().copies;
  const auto landed = [&](const Copy& c) { return c.group + leave_pending < self().group; };
  for (const Copy& c : copies) {
    if (!landed(c)) continue;
    std::memcpy(c.dst, c.src, c.read);
    std::memset(static_cast<char*>(c.dst) + c.read, 0, c.bytes - c.read);
    check::copy_landed(c.dst, c.bytes);
  }
  std::erase_if(copies, landed);
}

void wait_for_previous() {
  self().waited = true;
  check::waited_for_previous();
}

void run(Dim3 grid, Dim3 dim, size_t shared, bool overlap, void (*body)(const void*),
         const void* context) {
  const uint64_t threads = uint64_t{dim.x} * dim.y * dim.z;
  if (threads == 0 || threads > kMaxThreads || dim.z > 64) fail("launch: bad block " + name(dim));
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  if (blocks == 0 || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535)
    fail("launch: bad grid " + name(grid));
  if (shared > config().shared_limit) fail("launch: more shared memory than a block may have");

  static std::mutex mutex;
  static std::vector<std::unique_ptr<Worker>> idle;
  std::atomic<uint64_t> taken = 0;
  std::exception_ptr error;
  const auto work = [&] {
    std::unique_ptr<Worker> workers[kTurns];
    for (auto& w : workers) {
      {
        const std::lock_guard lock(mutex);
        if (!idle.empty()) w = std::move(idle.back()), idle.pop_back();
      }
      if (!w) w = std::make_unique<Worker>();
      w->body = body;
      w->context = context;
      w->overlap = overlap;
    }
    try {
      for (uint64_t i; (i = taken++) < blocks;) {
        if (config().order == Order::reverse) i = blocks - 1 - i;
        workers[i % kTurns]->run_block(
            {{static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
              static_cast<unsigned>(i / grid.x / grid.y)},
             dim,
             grid},
            shared);
      }
    } catch (...) {
      taken = blocks;
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
    }
    const std::lock_guard lock(mutex);
    for (auto& w : workers) idle.push_back(std::move(w));
  };
  check::launch_begins();
  const uint64_t cores = check::kOn         ? 1  // a checker keeps one state
                         : config().workers ? config().workers
                                            : std::thread::hardware_concurrency();
  {
    std::vector<std::jthread> helpers;
    for (uint64_t i = 1; i < std::min(cores, blocks); ++i) helpers.emplace_back(work);
    work();
  }
  check::launch_ends();
  if (error) std::rethrow_exception(error);
}

}  // namespace hone::simt::emu
