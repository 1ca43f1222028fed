// Host back end of device.h: an emulator for tests. A CUDA thread is a fiber; threads switch only
// where they meet (barriers, warp operations), in an order the test chooses, so a missing barrier
// shows as wrong data. Memory that the GPU leaves undefined is poisoned with NaN patterns, and
// asynchronous copies land as late as the program allows. See README.md for what it cannot see.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/simt/check.h"
#include "kernels/simt/types.h"

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __constant__ static const

#define threadIdx (::hone::simt::emu::current->index)
#define blockIdx (::hone::simt::emu::current->block->index)
#define blockDim (::hone::simt::emu::current->block->dim)
#define gridDim (::hone::simt::emu::current->block->grid)

// One object per block and per declaration (per instantiation in a template), as on the GPU.
#define SIMT_SHARED(name, ...)       \
  static const char name##_simt = 0; \
  auto& name = ::hone::simt::emu::shared_variable<__VA_ARGS__>(&name##_simt)

namespace hone::simt {
namespace emu {

// A mistake in a kernel or a launch that the emulator noticed.
struct Error : std::runtime_error {
  using runtime_error::runtime_error;
};

// Which runnable thread goes next: the lowest, the highest, or any. A correct kernel gives the
// same answer under all of them.
enum class Order { forward, reverse, random };

// Which launches a recording takes: old drivers refuse those that overlap, or have no recordings.
enum class Recordable { all, apart, none };

struct Config {
  Order order = Order::forward;             // or what $SIMT_ORDER says
  Recordable recordable = Recordable::all;  // or what $SIMT_RECORDABLE says
  uint64_t seed = 1;
  int workers = 0;  // OS threads that blocks are spread over; 0: one per core
  size_t shared_limit = 227 * 1024;
  size_t device_bytes = size_t{256} << 20;  // of device memory in all
};
Config& config();

struct Block {
  Dim3 index, dim, grid;
};

struct Warp {
  unsigned lanes;      // those that exist
  const void* in[32];  // each lane's operands in the operation it waits in
  void* out[32];
};

struct Thread {
  Dim3 index;
  const Block* block;
  Warp* warp;
  unsigned lane;
};

inline thread_local constinit Thread* current = nullptr;

inline unsigned thread_number() {
  const Dim3 &i = current->index, &d = current->block->dim;
  return i.x + d.x * (i.y + d.y * i.z);
}
inline unsigned block_threads() {
  const Dim3& d = current->block->dim;
  return d.x * d.y * d.z;
}

[[noreturn]] void fail(const std::string& what);     // adds the thread and its block, and throws
[[noreturn]] void abandon(const std::string& what);  // the same, without unwinding the thread
void barrier(Where at);
void fence();
void yield();

// Marks the current thread as arrived at a warp operation. True for the lane that completes it,
// which then carries it out and calls depart(); the others return once that is done.
bool arrive(const char* op, unsigned mask, Where at);
void depart();

// In emu.cpp for int, unsigned, unsigned long long and float, as on the GPU.
template <class T>
T fetch_add(T* p, T v, Where at);
template <class T>
T fetch_max(T* p, T v, Where at);
template <class T>
T fetch_or(T* p, T v, Where at);

void* shared_allocation(const void* key, size_t bytes, size_t align);
void* dynamic_shared_allocation(size_t* bytes);
// Device memory (emu_memory.cpp). Throws std::bad_alloc.
void* device_alloc(size_t bytes);
void device_free(void* p);
size_t device_bytes_in_use();
void require_device_memory(const void* p, size_t bytes = 1);
// Fails where a word of an argument points to memory of the host.
void require_no_host_pointers(const void* argument, size_t bytes);
template <class P>
void check_argument(const P& p) {
  if constexpr (std::is_pointer_v<P>) {
    if (p) require_device_memory(p);
  } else if constexpr (std::is_class_v<P>) {
    require_no_host_pointers(&p, sizeof p);
  }
}

// Notes work instead of doing it, while a recording is under way (runtime_emulated.cpp).
using Work = std::vector<std::function<void()>>;
inline thread_local Work* recording = nullptr;
void require_recordable(bool overlap);
// Told of each kernel that is run, where it is set: for lists of what tests run.
inline void (*on_launch)(const void* kernel) = nullptr;
inline void do_or_note(std::function<void()> work) {
  if (recording)
    recording->push_back(std::move(work));
  else
    work();
}

void copy_later(void* dst, const void* src, size_t bytes, size_t read, Where at);
void commit_copies();
void wait_copies(size_t leave_pending);

void wait_for_previous();
// overlap: as Stream's.
void run(Dim3 grid, Dim3 block, size_t shared, bool overlap, void (*body)(const void*),
         const void* context);

// Fills memory the GPU would leave undefined. Every 8-, 16- and 32-bit float in it is a NaN.
inline void poison(void* p, size_t bytes) {
  auto* c = static_cast<unsigned char*>(p);
  for (size_t i = 0; i < bytes; ++i) c[i] = i % 2 ? 0x7f : 0xff;
}

template <class T>
T& shared_variable(const void* key) {
  using E = std::remove_all_extents_t<T>;
  static_assert(std::is_trivially_default_constructible_v<E> && std::is_trivially_copyable_v<E>);
  return *static_cast<T*>(shared_allocation(key, sizeof(T), alignof(T) < 16 ? 16 : alignof(T)));
}

inline void require_aligned(const void* p, size_t to, const char* what) {
  if (reinterpret_cast<uintptr_t>(p) % to) fail(std::string(what) + ": misaligned address");
}
// Fails unless the range, or the aligned access, lies in the block's shared memory.
void require_shared_range(const void* p, size_t bytes, const char* what);
inline void require_shared(const void* p, size_t bytes, const char* what) {
  require_aligned(p, bytes, what);
  require_shared_range(p, bytes, what);
}

// The operands of all lanes in a collective operation.
template <class In, class Out>
struct Lanes {
  const Warp& warp;
  unsigned mask;
  bool has(int lane) const { return mask >> lane & 1; }
  const In& in(int lane) const { return *static_cast<const In*>(warp.in[lane]); }
  Out& out(int lane) const { return *static_cast<Out*>(warp.out[lane]); }
  template <class F>
  void each(F f) const {
    for (int lane = 0; lane < 32; ++lane)
      if (has(lane)) f(lane);
  }
};

// One warp-wide operation: waits until every lane of `mask` brings its operand, then lets one of
// them compute all the results with f(lanes).
template <class Out, class In, class F>
Out collective(const char* op, unsigned mask, const In& in, Where at, F f) {
  const check::Work work;
  Thread& self = *current;
  Out out;
  self.warp->in[self.lane] = &in;
  self.warp->out[self.lane] = &out;
  if (arrive(op, mask, at)) {
    f(Lanes<In, Out>{*self.warp, mask & self.warp->lanes});
    depart();
  }
  return out;
}

// Each lane gets the value of the lane it names, which may differ from lane to lane; one outside
// the warp names itself. The value of a lane that takes no part is undefined.
template <class T>
T shuffle(const char* op, T v, int from, unsigned mask, Where at) {
  static_assert(std::is_arithmetic_v<T>);
  return collective<T>(op, mask, std::pair(v, from), at, [](const auto& lanes) {
    lanes.each([&](int lane) {
      const int from = lanes.in(lane).second, source = from < 0 || from > 31 ? lane : from;
      if (lanes.has(source))
        lanes.out(lane) = lanes.in(source).first;
      else
        poison(&lanes.out(lane), sizeof(T));
    });
  });
}
inline int this_lane() { return static_cast<int>(current->lane); }

}  // namespace emu

constexpr unsigned kFullWarp = 0xffffffffu;

template <class T>
T* dynamic_shared() {
  size_t bytes;
  void* p = emu::dynamic_shared_allocation(&bytes);
  if (bytes < sizeof(T)) emu::fail("dynamic_shared: the launch gave less than one element");
  return static_cast<T*>(p);
}

inline void sync_block(emu::Where at = emu::Where::current()) { emu::barrier(at); }
inline void sync_warp(unsigned mask = kFullWarp, emu::Where at = emu::Where::current()) {
  if (!emu::arrive("sync_warp", mask, at)) return;
  emu::check::warp_synced(mask & emu::current->warp->lanes);
  emu::depart();
}
inline void thread_fence() { emu::fence(); }
// Kernels run one after the other here; what is checked is that the call is not forgotten.
inline void wait_for_previous() { emu::wait_for_previous(); }
inline void start_next() {}
// To be called in loops that wait for another thread.
inline void spin_pause() { emu::yield(); }

template <class T>
T shfl(T v, int lane, unsigned mask = kFullWarp, emu::Where at = emu::Where::current()) {
  return emu::shuffle("shfl", v, lane & 31, mask, at);
}
template <class T>
T shfl_xor(T v, int m, unsigned mask = kFullWarp, emu::Where at = emu::Where::current()) {
  return emu::shuffle("shfl_xor", v, emu::this_lane() ^ m, mask, at);
}
template <class T>
T shfl_up(T v, int d, unsigned mask = kFullWarp, emu::Where at = emu::Where::current()) {
  return emu::shuffle("shfl_up", v, emu::this_lane() - d, mask, at);
}
template <class T>
T shfl_down(T v, int d, unsigned mask = kFullWarp, emu::Where at = emu::Where::current()) {
  return emu::shuffle("shfl_down", v, emu::this_lane() + d, mask, at);
}
inline unsigned warp_ballot(bool p, unsigned mask = kFullWarp,
                            emu::Where at = emu::Where::current()) {
  return emu::collective<unsigned>("ballot", mask, p, at, [](auto lanes) {
    unsigned votes = 0;
    lanes.each([&](int i) { votes |= static_cast<unsigned>(lanes.in(i)) << i; });
    lanes.each([&](int i) { lanes.out(i) = votes; });
  });
}

template <class T>
T atomic_add(T* p, T v, emu::Where at = emu::Where::current()) {
  return emu::fetch_add(p, v, at);
}
template <class T>
T atomic_max(T* p, T v, emu::Where at = emu::Where::current()) {
  return emu::fetch_max(p, v, at);
}
template <class T>
T atomic_or(T* p, T v, emu::Where at = emu::Where::current()) {
  return emu::fetch_or(p, v, at);
}

template <int N, class T>
Vec<T, N> load(const T* p, emu::Where at = emu::Where::current()) {
  Vec<T, N> v;
  emu::require_aligned(p, sizeof v, "load");
  emu::check::read(&v, p, sizeof v, at);
  return v;
}
// From memory that no thread writes while the kernel runs.
template <int N, class T>
Vec<T, N> load_nc(const T* p, emu::Where at = emu::Where::current()) {
  return load<N>(p, at);
}
// Starts to bring memory into the L2 cache: multiples of 16 bytes.
inline void prefetch_l2(const void* p, unsigned bytes) {
  emu::require_aligned(p, 16, "prefetch_l2");
  if (bytes % 16 != 0) emu::fail("prefetch_l2: not a multiple of 16 bytes");
}
template <class T, int N>
void store(T* p, const Vec<T, N>& v, emu::Where at = emu::Where::current()) {
  emu::require_aligned(p, sizeof v, "store");
  emu::check::write(p, &v, sizeof v, at);
}

// Copies Bytes from global to shared memory, or zeroes them when `valid` is false. Nothing may
// rely on the destination until the copy's group has been waited for.
template <int Bytes>
void cp_async(void* shared, const void* global, bool valid = true,
              emu::Where at = emu::Where::current()) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
  emu::require_shared(shared, Bytes, "cp_async destination");
  if (valid) emu::require_aligned(global, Bytes, "cp_async source");
  emu::copy_later(shared, global, Bytes, valid ? Bytes : 0, at);
}
// cp_async<16> with a wish for the L2 cache: kL2 bytes around it.
template <int kL2>
void cp_async_ahead(void* shared, const void* global, emu::Where at = emu::Where::current()) {
  cp_async<16>(shared, global, true, at);
}
inline void cp_async_commit() { emu::commit_copies(); }
// Waits until at most N of this thread's groups are still on their way.
template <int N>
void cp_async_wait() {
  emu::wait_copies(N);
}

// c plus the dot product of four signed bytes.
inline int dp4a(uint32_t a, uint32_t b, int c) {
  for (int i = 0; i < 32; i += 8) c += static_cast<int8_t>(a >> i) * static_cast<int8_t>(b >> i);
  return c;
}

namespace emu {
template <class F>
uint32_t f16x2(uint32_t a, uint32_t b, uint32_t c, F f) {
  uint32_t r = 0;
  for (int i = 0; i < 32; i += 16) {
    const auto at = [i](uint32_t x) {
      return static_cast<double>(detail::f16_to_float(static_cast<uint16_t>(x >> i)));
    };
    const double exact = f(at(a), at(b), at(c));
    float odd = static_cast<float>(exact);  // rounded to odd, so that rounding again is harmless
    if (odd != exact && std::isfinite(odd)) {
      if (std::abs(odd) > std::abs(exact)) odd = std::nextafter(odd, 0.0f);
      odd = bits<float>(bits<uint32_t>(odd) | 1);
    }
    r |= static_cast<uint32_t>(detail::float_to_f16(odd)) << i;
  }
  return r;
}
}  // namespace emu
inline uint32_t and_or(uint32_t a, uint32_t mask, uint32_t set) { return (a & mask) | set; }
inline uint32_t and_xor(uint32_t a, uint32_t mask, uint32_t turn) { return (a & mask) ^ turn; }

// Packed half arithmetic on the raw bits of two f16 values.
inline uint32_t f16x2_fma(uint32_t a, uint32_t b, uint32_t c) {
  return emu::f16x2(a, b, c, [](double x, double y, double z) { return x * y + z; });
}
inline uint32_t f16x2_sub(uint32_t a, uint32_t b) {
  return emu::f16x2(a, b, 0, [](double x, double y, double) { return x - y; });
}

// Two floats, rounded; `low` goes to the low half.
inline uint32_t f16x2_pack(float low, float high) {
  return detail::float_to_f16(low) | static_cast<uint32_t>(detail::float_to_f16(high)) << 16;
}

inline uint32_t bf16x2_pack(float low, float high) {
  return detail::float_to_bf16(low) | static_cast<uint32_t>(detail::float_to_bf16(high)) << 16;
}
// The two E4M3 in the low half of `pair`, as f16x2. Exact.
inline uint32_t f16x2_from_f8(uint32_t pair) {
  uint32_t r = 0;
  for (int i = 0; i < 16; i += 8) {
    const uint32_t sign = pair >> i << 8 & 0x8000, magnitude = pair >> i & 0x7f;
    const float wide = detail::f16_to_float(static_cast<uint16_t>(magnitude << 7)) * 256;
    r |= (sign | (magnitude == 0x7f ? 0x7fffu : detail::float_to_f16(wide))) << 2 * i;
  }
  return r;
}

inline float fast_exp(float x) { return std::exp(x); }
inline float fast_exp2(float x) {
  const float r = std::exp2(x);
  return r < std::numeric_limits<float>::min() ? 0.0f : r;
}
inline float fast_rsqrt(float x) { return 1.0f / std::sqrt(x); }

struct Stream {
  bool overlap = false;  // each thread must call wait_for_previous(), and store nothing before it
  bool dry = false;      // launches are left out
  void wait() const {}
};

// Device memory: uninitialised (poisoned) unless filled from the host.
template <class T>
class Buffer {
 public:
  explicit Buffer(size_t n) : n_(n), p_(static_cast<T*>(emu::device_alloc(n * sizeof(T)))) {}
  explicit Buffer(const std::vector<T>& v) : Buffer(v.size()) {
    std::memcpy(static_cast<void*>(p_), v.data(), n_ * sizeof(T));
    emu::check::initialised(p_, n_ * sizeof(T));
  }
  Buffer(Buffer&& o) noexcept : n_(std::exchange(o.n_, 0)), p_(std::exchange(o.p_, nullptr)) {}
  Buffer& operator=(Buffer&&) = delete;
  ~Buffer() { emu::device_free(p_); }
  T* get() const { return p_; }
  size_t size() const { return n_; }
  std::vector<T> to_host() const { return std::vector<T>(p_, p_ + n_); }

 private:
  size_t n_;
  T* p_;
};

template <class... P>
int compiled_for(void (*)(P...)) {
  return 90;
}

// Runs kernel(args...) over the grid and returns when it is done. Throws emu::Error.
template <class... P, class... A>
void launch(void (*kernel)(P...), Dim3 grid, Dim3 block, size_t shared_bytes, Stream stream,
            A&&... args) {
  if (stream.dry) return;
  using Call = std::pair<void (*)(P...), std::tuple<std::decay_t<P>...>>;
  const Call call{kernel, {std::forward<A>(args)...}};
  std::apply([](const auto&... p) { (emu::check_argument(p), ...); }, call.second);
  if (emu::recording) emu::require_recordable(stream.overlap);
  emu::do_or_note([=] {
    if (emu::on_launch) emu::on_launch(reinterpret_cast<const void*>(kernel));
    emu::run(
        grid, block, shared_bytes, stream.overlap,
        [](const void* c) {
          const auto& [k, params] = *static_cast<const Call*>(c);
          std::apply(k, params);
        },
        &call);
  });
}

}  // namespace hone::simt

#include "kernels/simt/emu_tensor.h"
