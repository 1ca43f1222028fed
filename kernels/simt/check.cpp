// The shadow of device and shared memory: who touched each byte last, and what that forbids.
#include "kernels/simt/check.h"

#include <sys/mman.h>

#include <algorithm>
#include <map>
#include <new>
#include <set>
#include <string>
#include <vector>

#include "kernels/simt/emu.h"
#include "kernels/simt/site.h"

namespace hone::simt::emu::check {
namespace {

using Clock = uint16_t;

// Who made an access, and when.
struct Stamp {
  Site site = 0;
  uint32_t block = 0;        // its serial number; 0: no access
  uint16_t block_syncs = 0;  // the barriers of the block before it
  uint16_t thread = 0;
  Clock clock = 0;  // the meetings of the thread's warp before it, since the last barrier
  bool atomic = false;
};

// The shadow of one byte of memory, or of a word whose bytes share their history. All zero: not
// allocated. In shared memory: as good as zero unless `block` is the one that runs.
struct Cell {
  Stamp write, read, other_read;  // the last write; since then, the last reads by two threads
  bool allocated, initialised, in_flight;
  bool whole;      // of a word's first byte: the cell stands for all four
  uint32_t block;  // shared memory: the block that used it last
};
constexpr ptrdiff_t kWord = 4;

constexpr size_t kRegion = size_t{1} << 30, kRedzone = 256;

template <class T>
T* reserve(size_t n) {
  void* p = mmap(nullptr, n * sizeof(T), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw Error("simt: no address space for the checker");
  return static_cast<T*>(p);
}

char* const region = reserve<char>(kRegion);
Cell* const shadow = reserve<Cell>(kRegion);
size_t region_used = kRedzone;
std::map<char*, size_t> allocations, released_pieces;
const char* arena_begin;
size_t arena_bytes;
struct Piece {
  const char* begin;
  size_t bytes;
};
std::vector<Piece> shared_variables;  // of the block that runs

uint32_t block = 1, first_block_of_launch = 2;  // 1: kernels before the first
uint16_t block_syncs;
// Since the block's last barrier: seen[a][b] is how far a knows what b did; [a][a] is a's own time.
Clock seen[1024][1024];
bool clocks_used = true;
bool has_waited[1024];  // for the previous kernel
// Order between blocks: one that updates a flag after another, which fenced first, sees its writes.
bool has_fenced[1024];  // all global writes that come before what the thread does now
std::map<const void*, std::set<uint32_t>> released;
std::set<uint32_t> acquired;

Cell& cell_of(const void* p) { return shadow[static_cast<const char*>(p) - region]; }
bool inside(const void* p, const char* begin, size_t bytes) {
  return static_cast<size_t>(static_cast<const char*>(p) - begin) < bytes;
}

// Calls f(cell, address) for the cells that stand for a range. After `replaces`, a call that leaves
// all cells of a range alike, whole words share one again.
template <class F>
void each_cell(const void* p, size_t bytes, bool replaces, F f) {
  const char* at = static_cast<const char*>(p);
  const char* const end = at + bytes;
  const bool shared = inside(p, arena_begin, arena_bytes);
  while (at < end) {
    const ptrdiff_t in_word = (at - region) % kWord;
    Cell* const cells = &cell_of(at - in_word);
    if (shared && cells->block != block) {
      *cells = Cell{};
      cells->allocated = cells->whole = true;
      cells->block = block;
    }
    const bool all = in_word == 0 && end - at >= kWord;
    if (cells->whole && all) {
      f(*cells, at);
      at += kWord;
      continue;
    }
    if (cells->whole) {
      cells->whole = false;
      std::fill_n(cells + 1, kWord - 1, *cells);
    }
    if (!all || !replaces) {
      f(cells[in_word], at++);
      continue;
    }
    for (int i = 0; i < kWord; ++i) f(cells[i], at + i);
    cells->whole = true;
    at += kWord;
  }
}

void replace(const void* p, size_t bytes, Cell by) {
  each_cell(p, bytes, true, [&](Cell& c, const char*) {
    by.whole = c.whole;
    c = by;
  });
}

bool in_shared_variable(const char* p) {
  for (const Piece& piece : shared_variables)
    if (inside(p, piece.begin, piece.bytes)) return true;
  return false;
}

// Whether an earlier access is known to come before what thread `me` does now.
bool ordered(const Stamp& earlier, unsigned me) {
  if (earlier.block < first_block_of_launch) return true;  // none, or by an earlier kernel
  if (earlier.block != block) return acquired.contains(earlier.block);
  return earlier.thread == me || earlier.block_syncs != block_syncs ||
         earlier.clock <= seen[me][earlier.thread];
}

void join(Clock* into, const Clock* from) {
  for (unsigned i = 0; i < block_threads(); ++i) into[i] = std::max(into[i], from[i]);
}
void reset_clocks(unsigned threads) {
  if (!clocks_used) return;
  for (unsigned i = 0; i < threads; ++i) {
    std::fill_n(seen[i], threads, Clock{0});
    seen[i][i] = 1;
  }
  clocks_used = false;
}

[[noreturn]] void report(const char* what, const void* p, Kind kind, Site site,
                         const Stamp* other = nullptr, const char* other_did = "") {
  const char* verb = kind == Kind::read ? "reads" : kind == Kind::write ? "writes" : "updates";
  std::string s = std::string(what) + ": " + verb +
                  (inside(p, arena_begin, arena_bytes) ? " shared" : " global") + " memory at " +
                  name(site);
  if (other)
    s += "; thread " + std::to_string(other->thread) +
         (other->block == block ? " " : " of another block ") + other_did + " it at " +
         name(other->site);
  abandon(s);
}

void synchronise_blocks(const void* p, unsigned me) {
  auto& blocks = released[p];
  acquired.insert(blocks.begin(), blocks.end());
  if (!has_fenced[me]) return;
  blocks.insert(block);
  blocks.insert(acquired.begin(), acquired.end());
}

void check_access(const void* p, size_t bytes, Kind kind, Site site) {
  if (bytes == 0 || !inside(p, region, kRegion) || !current) return;
  const unsigned me = thread_number();
  const Stamp now{
      site, block, block_syncs, static_cast<uint16_t>(me), seen[me][me], kind == Kind::atomic};
  const bool global = !inside(p, arena_begin, arena_bytes);
  if (kind == Kind::atomic && global) synchronise_blocks(p, me);
  if (kind == Kind::write && global) has_fenced[me] = false;
  if (!global && !(in_shared_variable(static_cast<const char*>(p)) &&
                   in_shared_variable(static_cast<const char*>(p) + bytes - 1)))
    report("out of bounds", p, kind, site);
  each_cell(p, bytes, kind != Kind::read, [&](Cell& c, const char* at) {
    if (!c.allocated) report("out of bounds", at, kind, site);
    if (c.in_flight)
      report("asynchronous copy not waited for", at, kind, site, &c.write, "copies to");
    if (kind != Kind::write && !c.initialised) report("uninitialised", at, kind, site);
    if (global && !has_waited[me] && (kind != Kind::read || c.write.block != 0))
      report("before wait_for_previous", at, kind, site);
    if (!ordered(c.write, me) && !(c.write.atomic && now.atomic))
      report("race", at, kind, site, &c.write, "wrote");
    if (kind == Kind::read) {
      if (c.read.block && c.read.thread != me) c.other_read = c.read;
      c.read = now;
    } else {
      for (const Stamp& r : {c.read, c.other_read})
        if (!ordered(r, me)) report("race", at, kind, site, &r, "read");
      c.write = now;
      c.read = c.other_read = {};
      c.initialised = true;
    }
  });
}

}  // namespace

const bool kRacesOnly = false;

void variable(void* p, size_t bytes) {
  if (inside(p, arena_begin, arena_bytes)) {
    shared_variables.push_back({static_cast<const char*>(p), bytes});
  } else {
    replace(p, bytes, Cell{.allocated = true});
  }
}
// Bytes that an allocation takes, with its redzone.
size_t with_redzone(size_t bytes) { return (bytes + 2 * kRedzone - 1) / kRedzone * kRedzone; }
char* take(size_t bytes) {
  const size_t whole = with_redzone(bytes);
  for (auto it = released_pieces.begin(); it != released_pieces.end(); ++it) {
    if (it->second != whole) continue;
    char* p = it->first;
    released_pieces.erase(it);
    return p;
  }
  if (whole > kRegion - region_used) throw std::bad_alloc();
  return region + std::exchange(region_used, region_used + whole);
}
void* allocate(size_t bytes) {
  char* p = take(bytes);
  variable(p, bytes);
  allocations[p] = bytes;
  return p;
}
void deallocate(void* p) {
  const auto it = allocations.find(static_cast<char*>(p));
  replace(p, it->second, Cell{});
  released_pieces[it->first] = with_redzone(it->second);
  allocations.erase(it);
}
void* arena(size_t bytes) {
  char* p = region + region_used;
  region_used += bytes;
  return p;
}
void initialised(const void* p, size_t bytes) {
  replace(p, bytes, Cell{.allocated = true, .initialised = true});
}
void written_by_kernel(const void* p, size_t bytes) {
  replace(p, bytes, Cell{.write = {.block = 1}, .allocated = true, .initialised = true});
}
void settled(const void* p, size_t bytes) {
  each_cell(p, bytes, false, [](Cell& c, const char*) { c.write = {}; });
}
void access(const void* p, size_t bytes, Kind kind, Where at) {
  check_access(p, bytes, kind, site_of(at));
}
void read(void* to, const void* p, size_t bytes, Where at) {
  access(p, bytes, Kind::read, at);
  std::memcpy(to, p, bytes);
}
void write(void* p, const void* from, size_t bytes, Where at) {
  access(p, bytes, Kind::write, at);
  std::memcpy(p, from, bytes);
}
void copy_begins(void* dst, size_t bytes, Where at) {
  check_access(dst, bytes, Kind::write, site_of(at));
  each_cell(dst, bytes, true, [](Cell& c, const char*) { c.in_flight = true; });
}
void copy_landed(void* dst, size_t bytes) {
  const unsigned by = cell_of(dst).write.thread;
  each_cell(dst, bytes, true, [&](Cell& c, const char*) {
    c.in_flight = false;
    c.write.block_syncs = block_syncs;
    c.write.clock = seen[by][by];
  });
}
void launch_begins() {
  first_block_of_launch = block + 1;
  released.clear();
}
void launch_ends() {}
void block_begins(void* arena, size_t bytes, unsigned threads, bool overlap) {
  ++block;
  block_syncs = 0;
  acquired.clear();
  static unsigned set_up = 0;  // threads whose clocks are in order
  if (threads > set_up) clocks_used = true;
  reset_clocks(std::max(threads, set_up));
  set_up = threads;
  std::fill(std::begin(has_fenced), std::end(has_fenced), true);
  std::fill(std::begin(has_waited), std::end(has_waited), !overlap);
  arena_begin = static_cast<const char*>(arena);
  arena_bytes = bytes;
  shared_variables.clear();
}
void waited_for_previous() { has_waited[thread_number()] = true; }
void block_synced() {
  ++block_syncs;
  reset_clocks(block_threads());
  bool* const threads_end = has_fenced + block_threads();
  std::fill_n(has_fenced, block_threads(),
              std::find(has_fenced, threads_end, false) == threads_end);
}
void warp_synced(unsigned mask) {
  Clock all[1024] = {};
  const unsigned first = thread_number() / 32 * 32;
  for (unsigned i = first; i < first + 32; ++i)
    if (mask >> (i - first) & 1) join(all, seen[i]);
  for (unsigned i = first; i < first + 32; ++i)
    if (mask >> (i - first) & 1) {
      join(seen[i], all);
      ++seen[i][i];
    }
  clocks_used = true;
}
void fenced() { has_fenced[thread_number()] = true; }
// A mistake is thrown at once; only what kernels' files do is reported.
void block_ends(bool) {}
void switches_to(unsigned) {}
void switches_home() {}
void work_begins() {}
void work_ends() {}

}  // namespace hone::simt::emu::check

// What -fsanitize=thread makes the compiler call.
using hone::simt::emu::check::check_access;
using hone::simt::emu::check::Kind;
#define SIMT_SITE hone::simt::emu::check::site_of(__builtin_return_address(0))
#define SIMT_HOOKS(bytes)                                                                       \
  void __tsan_read##bytes(void* p) { check_access(p, bytes, Kind::read, SIMT_SITE); }           \
  void __tsan_write##bytes(void* p) { check_access(p, bytes, Kind::write, SIMT_SITE); }         \
  void __tsan_unaligned_read##bytes(void* p) { check_access(p, bytes, Kind::read, SIMT_SITE); } \
  void __tsan_unaligned_write##bytes(void* p) { check_access(p, bytes, Kind::write, SIMT_SITE); }
extern "C" {
SIMT_HOOKS(1)
SIMT_HOOKS(2)
SIMT_HOOKS(4)
SIMT_HOOKS(8)
SIMT_HOOKS(16)
void __tsan_read_range(void* p, size_t n) { check_access(p, n, Kind::read, SIMT_SITE); }
void __tsan_write_range(void* p, size_t n) { check_access(p, n, Kind::write, SIMT_SITE); }
void* __tsan_memcpy(void* to, const void* from, size_t n) {
  check_access(from, n, Kind::read, SIMT_SITE);
  check_access(to, n, Kind::write, SIMT_SITE);
  return std::memcpy(to, from, n);
}
void* __tsan_memset(void* p, int c, size_t n) {
  check_access(p, n, Kind::write, SIMT_SITE);
  return std::memset(p, c, n);
}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}
}
