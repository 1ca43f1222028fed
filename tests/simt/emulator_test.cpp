// What the emulator refuses, and what its checker sees: mistakes that a GPU may let pass.
#ifndef __CUDACC__
#include <string>
#include <type_traits>
#include <vector>

#include "tests/simt/orders.h"

using namespace hone;
using namespace hone::simt;

namespace {

constexpr Stream kStream{};
constexpr Stream kOverlapping{.overlap = true};

// The error of a launch of two blocks, or "".
template <class... P>
std::string error_of(void (*kernel)(P...), Dim3 block, size_t shared, Stream stream,
                     std::type_identity_t<P>... args) {
  try {
    launch(kernel, {2}, block, shared, stream, args...);
  } catch (const emu::Error& error) {
    return error.what();
  }
  return "";
}

bool has(const std::string& text, const char* part) {
  INFO(text);
  CHECK(text.find(part) != std::string::npos);
  return true;
}

__global__ void half_at_barrier() {
  if (threadIdx.x < 32) sync_block();
}
__global__ void two_barriers() {
  if (threadIdx.x < 32) {
    sync_block();
  } else {
    sync_block();
  }
}
__global__ void half_shuffle(int* p) {
  if (threadIdx.x % 2) p[0] = shfl_xor(1, 1);
}
__global__ void overlapping_masks(int* p) {
  p[threadIdx.x] = threadIdx.x < 8 ? shfl_xor(1, 1, 0xffu) : shfl_xor(1, 1, 0xffffff80u);
}
__global__ void ldmatrix_from_global(uint32_t* p) {
  uint32_t r[4];
  ldmatrix<4>(r, p);
}
__global__ void too_much_shared() {
  SIMT_SHARED(a, char[120000]);
  SIMT_SHARED(b, char[120000]);
  a[0] = b[0] = 0;
}
__global__ void much_shared() {
  SIMT_SHARED(a, char[20000]);
  a[0] = *dynamic_shared<char>();
}
__global__ void nothing() {}
__global__ void wait_for_ever(int* p) {
  while (atomic_add(p, 0) == 0) spin_pause();
}
struct Pointers {
  const int* from;
  int* to;
};
__global__ void copy_one(Pointers p) { p.to[blockIdx.x] = *p.from; }

__global__ void wait_in_half(int*) {
  if (threadIdx.x < 16) wait_for_previous();
}
__global__ void store_too_early(int* p) {
  p[blockIdx.x * blockDim.x + threadIdx.x] = 1;
  wait_for_previous();
}
__global__ void read_too_early(const int* p, int* out) {
  const int v = *p;
  wait_for_previous();
  out[blockIdx.x * blockDim.x + threadIdx.x] = v;
}
__global__ void neighbours_race(int* out) {
  SIMT_SHARED(s, int[32]);
  s[threadIdx.x] = 1;
  sync_block();
  out[blockIdx.x * 32 + threadIdx.x] = s[(threadIdx.x + 1) % 32];
  s[threadIdx.x] = 2;
}
// What each lane reads, another wrote: after a meeting of the warp, or of nobody.
template <bool kMeets>
__global__ void lanes_exchange(int* out) {
  SIMT_SHARED(s, int[32]);
  s[threadIdx.x] = 0;
  sync_block();
  s[threadIdx.x] = 1;
  if (kMeets) sync_warp();
  out[blockIdx.x * 32 + threadIdx.x] = s[31 - threadIdx.x];
}
// The halves of a warp, which meet separately; each reads what its own half wrote, or the other.
template <bool kTogether>
__global__ void halves_exchange(int* out) {
  SIMT_SHARED(s, int[32]);
  s[threadIdx.x] = 0;
  sync_block();
  s[threadIdx.x] = 1;
  sync_warp(threadIdx.x < 16 ? 0xffffu : 0xffff0000u);
  out[blockIdx.x * 32 + threadIdx.x] = s[threadIdx.x ^ (kTogether ? 1 : 16)];
}
// Each thread's copy lands; the block meets before (kMeets) the others read it, or does not.
template <bool kMeets>
__global__ void copies_exchange(const int* x, int* out) {
  SIMT_SHARED(s, int[64]);
  cp_async<4>(&s[threadIdx.x], x + threadIdx.x);
  cp_async_commit();
  if (!kMeets) sync_block();
  cp_async_wait<0>();
  if (kMeets) sync_block();
  out[blockIdx.x * 64 + threadIdx.x] = s[63 - threadIdx.x];
}
__global__ void never_written(int* out) {
  SIMT_SHARED(s, int[33]);
  s[threadIdx.x] = 1;
  sync_block();
  out[blockIdx.x * 32 + threadIdx.x] = s[threadIdx.x + 1];
}
// Counts blocks after each wrote a number; the last reads them. Fences by those who write, by the
// one who counts after a barrier, or not at all.
template <int kFences>
__global__ void last_reads(int* written, unsigned* arrived, int* out) {
  SIMT_SHARED(last, bool);
  written[blockIdx.x * 32 + threadIdx.x] = 1;
  if (kFences == 1) thread_fence();
  sync_block();
  if (threadIdx.x == 0) {
    if (kFences == 2) thread_fence();
    last = atomic_add(arrived, 1u) == gridDim.x - 1;
  }
  sync_block();
  if (last) out[threadIdx.x] = written[threadIdx.x] + written[32 + threadIdx.x];
}
__global__ void past_the_end(int* out, int n) { out[n] = 0; }
__global__ void same_place(int* out) { *out = static_cast<int>(blockIdx.x); }
__global__ void copy_not_waited_for(const int* x, int* out) {
  SIMT_SHARED(s, int[32]);
  cp_async<4>(&s[threadIdx.x], x + threadIdx.x);
  cp_async_commit();
  out[blockIdx.x * 32 + threadIdx.x] = s[threadIdx.x];
}

}  // namespace

TEST_CASE("what no launch may do") {
  in_every_order([] {
    Buffer<int> p(std::vector<int>(64, 0));
    Buffer<uint32_t> u(64);
    has(error_of(half_at_barrier, {64}, 0, kStream), "threads 32-63: exited");
    has(error_of(two_barriers, {64}, 0, kStream), "divergent barrier");
    has(error_of(half_shuffle, {32}, 0, kStream, p.get()), "deadlock");
    has(error_of(overlapping_masks, {32}, 0, kStream, p.get()), "deadlock");
    has(error_of(ldmatrix_from_global, {32}, 0, kStream, u.get()), "not in this block's shared");
    has(error_of(too_much_shared, {32}, 0, kStream), "more shared memory");
    has(error_of(much_shared, {32}, 30000, kStream), "more shared memory");
    has(error_of(nothing, {1025}, 0, kStream), "bad block");
    has(error_of(nothing, {32}, 300000, kStream), "more shared memory");
    Buffer<int> zero(std::vector<int>(1, 0));
    has(error_of(wait_for_ever, {32}, 0, kStream, zero.get()), "livelock");
  });
}

TEST_CASE("pointers to host memory among arguments") {
  const std::vector<int> host(16);
  Buffer<int> p(std::vector<int>(64, 0));
  int on_stack = 0;
  has(error_of(half_shuffle, {32}, 0, kStream, &on_stack), "not to device memory");
  CHECK(error_of(copy_one, {1}, 0, kStream, {p.get(), p.get() + 8}) == "");
#ifndef __SANITIZE_ADDRESS__           // its shadow makes any number look like a pointer
  if (emu::check::kRacesOnly) return;  // and ThreadSanitizer's
  has(error_of(copy_one, {1}, 0, kStream, {host.data(), p.get()}), "pointer to host memory");
#endif
}

TEST_CASE("dependent launches: every thread waits, none is early") {
  Buffer<int> p(std::vector<int>(64, 0)), out(std::vector<int>(64, 0));
  has(error_of(wait_in_half, {32}, 0, kOverlapping, p.get()), "without wait_for_previous");
  has(error_of(nothing, {32}, 0, kOverlapping), "without wait_for_previous");
  CHECK(error_of(nothing, {32}, 0, kStream) == "");
  if (!emu::check::kOn || emu::check::kRacesOnly) return;
  has(error_of(store_too_early, {32}, 0, kOverlapping, p.get()), "before wait_for_previous");
  CHECK(error_of(store_too_early, {32}, 0, kStream, p.get()) == "");  // p now is a kernel's work
  has(error_of(read_too_early, {32}, 0, kOverlapping, p.get(), out.get()),
      "before wait_for_previous");
  Buffer<int> weight(std::vector<int>(1, 7));
  CHECK(error_of(read_too_early, {32}, 0, kOverlapping, weight.get(), out.get()) == "");
}

TEST_CASE("races, and their twins that meet") {
  if (!emu::check::kOn) return;
  Buffer<int> x(std::vector<int>(128, 0)), out(std::vector<int>(128, 0));
  has(error_of(neighbours_race, {32}, 0, kStream, out.get()), "race: writes shared memory at emu");
  has(error_of(lanes_exchange<false>, {32}, 0, kStream, out.get()), "race: ");
  CHECK(error_of(lanes_exchange<true>, {32}, 0, kStream, out.get()) == "");
  has(error_of(halves_exchange<false>, {32}, 0, kStream, out.get()), "race: ");
  CHECK(error_of(halves_exchange<true>, {32}, 0, kStream, out.get()) == "");
  const char* const unfinished = emu::check::kRacesOnly ? "race: " : "not waited for";
  has(error_of(copies_exchange<false>, {64}, 0, kStream, x.get(), out.get()), unfinished);
  CHECK(error_of(copies_exchange<true>, {64}, 0, kStream, x.get(), out.get()) == "");
  has(error_of(same_place, {1}, 0, kStream, out.get()), "race: writes global");
  CHECK(error_of(copy_one, {1}, 0, kStream, {x.get(), out.get()}) == "");
}

TEST_CASE("what only the emulator's own checker sees") {
  if (!emu::check::kOn || emu::check::kRacesOnly) return;
  Buffer<int> p(std::vector<int>(64, 0));
  has(error_of(never_written, {32}, 0, kStream, p.get()), "uninitialised: reads shared");
  has(error_of(past_the_end, {1}, 0, kStream, p.get(), 64), "out of bounds: writes global");
  has(error_of(copy_not_waited_for, {32}, 0, kStream, p.get(), p.get()), "not waited for");
}

TEST_CASE("blocks that see each other's writes: with fences only") {
  if (!emu::check::kOn) return;
  Buffer<int> written(64), out(32);
  Buffer<unsigned> arrived(std::vector<unsigned>(3, 0));
  has(error_of(last_reads<0>, {32}, 0, kStream, written.get(), arrived.get(), out.get()), "race");
  CHECK(error_of(last_reads<1>, {32}, 0, kStream, written.get(), arrived.get() + 1, out.get()) ==
        "");
  CHECK(error_of(last_reads<2>, {32}, 0, kStream, written.get(), arrived.get() + 2, out.get()) ==
        "");
}

TEST_CASE("device memory that was given back") {
  std::vector<void*> memory;
  for (int i = 0; i < 1000; ++i) {  // more than there is, were it not given back
    void* const p = emu::device_alloc(size_t{1} << 20);
    emu::device_free(p);
  }
  CHECK_THROWS_AS(emu::device_alloc(emu::config().device_bytes + 1), std::bad_alloc);
  int on_stack = 0;
  CHECK_THROWS_AS(emu::device_free(&on_stack), emu::Error);
}
#endif
