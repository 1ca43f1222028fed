// CUDA back end of device.h: each primitive is an intrinsic or one PTX instruction.
#pragma once

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/simt/types.h"

#define SIMT_DEVICE __device__ __forceinline__
#define SIMT_SHARED(name, ...) __shared__ __align__(16)::std::type_identity_t<__VA_ARGS__> name

namespace hone::simt {

constexpr unsigned kFullWarp = 0xffffffffu;

template <class T>
SIMT_DEVICE T* dynamic_shared() {
  extern __shared__ __align__(128) unsigned char simt_dynamic[];
  return reinterpret_cast<T*>(simt_dynamic);
}

SIMT_DEVICE void sync_block() { __syncthreads(); }
SIMT_DEVICE void sync_warp(unsigned mask = kFullWarp) { __syncwarp(mask); }
SIMT_DEVICE void thread_fence() { __threadfence(); }
// Programmatic dependent launch (sm_90 and later; nothing before): see device.h.
SIMT_DEVICE void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
SIMT_DEVICE void start_next() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
SIMT_DEVICE void spin_pause() { __nanosleep(32); }

template <class T>
SIMT_DEVICE T shfl(T v, int lane, unsigned mask = kFullWarp) {
  return __shfl_sync(mask, v, lane);
}
template <class T>
SIMT_DEVICE T shfl_xor(T v, int m, unsigned mask = kFullWarp) {
  return __shfl_xor_sync(mask, v, m);
}
template <class T>
SIMT_DEVICE T shfl_up(T v, int d, unsigned mask = kFullWarp) {
  return __shfl_up_sync(mask, v, d);
}
template <class T>
SIMT_DEVICE T shfl_down(T v, int d, unsigned mask = kFullWarp) {
  return __shfl_down_sync(mask, v, d);
}
SIMT_DEVICE unsigned warp_ballot(bool p, unsigned mask = kFullWarp) {
  return __ballot_sync(mask, p);
}

template <class T>
SIMT_DEVICE T atomic_add(T* p, T v) {
  return atomicAdd(p, v);
}
template <class T>
SIMT_DEVICE T atomic_max(T* p, T v) {
  return atomicMax(p, v);
}
template <class T>
SIMT_DEVICE T atomic_or(T* p, T v) {
  return atomicOr(p, v);
}

namespace detail {
template <size_t Bytes>
using Word = std::conditional_t<
    Bytes == 16, uint4,
    std::conditional_t<Bytes == 8, uint2,
                       std::conditional_t<Bytes == 4, unsigned, unsigned short>>>;
}
template <int N, class T>
SIMT_DEVICE Vec<T, N> load(const T* p) {
  using W = detail::Word<sizeof(Vec<T, N>)>;
  return bits<Vec<T, N>>(*reinterpret_cast<const W*>(p));
}
// From memory that no thread writes while the kernel runs.
template <int N, class T>
SIMT_DEVICE Vec<T, N> load_nc(const T* p) {
  using W = detail::Word<sizeof(Vec<T, N>)>;
  return bits<Vec<T, N>>(__ldg(reinterpret_cast<const W*>(p)));
}
// Starts to bring memory into the L2 cache: multiples of 16 bytes. Nothing before sm_90.
SIMT_DEVICE void prefetch_l2(const void* p, unsigned bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(p), "r"(bytes) : "memory");
#endif
}
// Of one scalar: nvcc takes a uint4 apart and stores its words one by one where it cannot prove the
// address aligned.
template <class T, int N>
SIMT_DEVICE void store(T* p, const Vec<T, N>& v) {
  using W = std::conditional_t<
      sizeof v == 16, unsigned __int128,
      std::conditional_t<sizeof v == 8, unsigned long long, detail::Word<sizeof v>>>;
  *reinterpret_cast<W*>(p) = bits<W>(v);
}

namespace detail {
SIMT_DEVICE unsigned shared_address(const void* p) {
  return static_cast<unsigned>(__cvta_generic_to_shared(p));
}
}  // namespace detail

template <int Bytes>
SIMT_DEVICE void cp_async(void* shared, const void* global, bool valid = true) {
  const int read = valid ? Bytes : 0;
  if constexpr (Bytes == 16)
    asm volatile(
        "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(detail::shared_address(shared)),
        "l"(global), "r"(read)
        : "memory");
  else
    asm volatile(
        "cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(detail::shared_address(shared)),
        "l"(global), "n"(Bytes), "r"(read)
        : "memory");
}
// cp_async<16>, and the L2 cache brings in all of the aligned kL2 bytes around it (128, 256), for
// copies that follow; 0: no more than asked for.
template <int kL2>
SIMT_DEVICE void cp_async_ahead(void* shared, const void* global) {
  const unsigned to = detail::shared_address(shared);
  if constexpr (kL2 == 256)
    asm volatile("cp.async.cg.shared.global.L2::256B [%0], [%1], 16;" ::"r"(to), "l"(global)
                 : "memory");
  else if constexpr (kL2 == 128)
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(to), "l"(global)
                 : "memory");
  else cp_async<16>(shared, global);
}
SIMT_DEVICE void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N>
SIMT_DEVICE void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

namespace detail {
template <int N, bool Trans>
SIMT_DEVICE void ldmatrix(uint32_t (&r)[N], const void* row) {
  const unsigned a = shared_address(row);
  if constexpr (N == 4 && Trans)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(a)
                 : "memory");
  else if constexpr (N == 4)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(a)
                 : "memory");
  else if constexpr (N == 2 && Trans)
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(a)
                 : "memory");
  else if constexpr (N == 2)
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(a)
                 : "memory");
  else static_assert(N == 4 || N == 2);
}
}  // namespace detail

template <int N>
SIMT_DEVICE void ldmatrix(uint32_t (&r)[N], const void* row) {
  detail::ldmatrix<N, false>(r, row);
}
template <int N>
SIMT_DEVICE void ldmatrix_trans(uint32_t (&r)[N], const void* row) {
  detail::ldmatrix<N, true>(r, row);
}

#define SIMT_MMA(type, kind, constraint)                                                         \
  asm volatile("mma.sync.aligned." kind " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
               : "+" constraint(d[0]), "+" constraint(d[1]), "+" constraint(d[2]),               \
                 "+" constraint(d[3])                                                            \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
template <class T, class Acc>
SIMT_DEVICE void mma(Acc (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  if constexpr (std::is_same_v<T, bf16>) SIMT_MMA(T, "m16n8k16.row.col.f32.bf16.bf16.f32", "f");
  else if constexpr (std::is_same_v<T, f16>) SIMT_MMA(T, "m16n8k16.row.col.f32.f16.f16.f32", "f");
  else if constexpr (std::is_same_v<T, int8_t>) SIMT_MMA(T, "m16n8k32.row.col.s32.s8.s8.s32", "r");
  else static_assert(sizeof(T) == 0, "no such mma");
}
#undef SIMT_MMA

template <class T, int Selector>
SIMT_DEVICE void mma_sparse(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[4],
                            uint32_t meta) {
#define SIMT_MMA_SP(type)                                                                     \
  asm volatile("mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32." type "." type    \
               ".f32 "                                                                        \
               "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9,%10,%11}, {%0,%1,%2,%3}, %12, %13;"      \
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                               \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(b[2]), \
                 "r"(b[3]), "r"(meta), "n"(Selector))
  if constexpr (std::is_same_v<T, bf16>) SIMT_MMA_SP("bf16");
  else SIMT_MMA_SP("f16");
#undef SIMT_MMA_SP
}

SIMT_DEVICE int dp4a(uint32_t a, uint32_t b, int c) {
  return __dp4a(static_cast<int>(a), static_cast<int>(b), c);
}

// (a & mask) | set and (a & mask) ^ turn, one instruction each: left alone, the compiler spends two
// where both are constants.
SIMT_DEVICE uint32_t and_or(uint32_t a, uint32_t mask, uint32_t set) {
  uint32_t r;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(r) : "r"(a), "r"(mask), "r"(set));
  return r;
}
SIMT_DEVICE uint32_t and_xor(uint32_t a, uint32_t mask, uint32_t turn) {
  uint32_t r;
  asm("lop3.b32 %0, %1, %2, %3, 0x6a;" : "=r"(r) : "r"(a), "r"(mask), "r"(turn));
  return r;
}

SIMT_DEVICE uint32_t f16x2_fma(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t r;
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
  return r;
}
// Two floats, rounded; `low` goes to the low half.
SIMT_DEVICE uint32_t f16x2_pack(float low, float high) {
  uint32_t r;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
SIMT_DEVICE uint32_t bf16x2_pack(float low, float high) {
  uint32_t r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
// The two E4M3 in the low half of `pair`, as f16x2. Exact.
SIMT_DEVICE uint32_t f16x2_from_f8(uint32_t pair) {
#if __CUDA_ARCH__ >= 890
  uint32_t r;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(r) : "h"(static_cast<uint16_t>(pair)));
  return r;
#else
  // The exponent of f16 has a bias that is 8 larger. Only 0x7f and 0xff, NaN, do not fit.
  const uint32_t spread = (pair & 0xff) | (pair & 0xff00) << 8, magnitude = spread & 0x007f007f;
  const uint32_t nan = (magnitude + 0x00010001u & 0x00800080u) * 0xfcu & 0x7e007e00u;
  const uint32_t small = (spread & 0x00800080u) << 8 | magnitude << 7;
  return f16x2_fma(small, 0x5c005c00u, 0x80008000u) | nan;
#endif
}
SIMT_DEVICE uint32_t f16x2_sub(uint32_t a, uint32_t b) {
  uint32_t r;
  asm("sub.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
  return r;
}

SIMT_DEVICE float fast_exp(float x) { return __expf(x); }
// Of results that are not normal floats 0: exp2f would scale back and forth for their sake.
SIMT_DEVICE float fast_exp2(float x) {
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}
SIMT_DEVICE float fast_rsqrt(float x) { return rsqrtf(x); }

// ---- host side ----

inline void cuda_check(cudaError_t e, const char* what) {
  if (e == cudaSuccess) return;
  throw std::runtime_error(std::string("cuda: ") + what + ": " + cudaGetErrorString(e));
}

struct Stream {
  cudaStream_t handle = nullptr;
  bool overlap = false;  // kernels start before the one ahead has ended, up to wait_for_previous()
  bool dry = false;      // launches are left out
  void wait() const { cuda_check(cudaStreamSynchronize(handle), "cudaStreamSynchronize"); }
};

template <class T>
class Buffer {
 public:
  explicit Buffer(size_t n) : n_(n) {
    cuda_check(cudaMalloc(reinterpret_cast<void**>(&p_), n * sizeof(T)), "cudaMalloc");
  }
  explicit Buffer(const std::vector<T>& v) : Buffer(v.size()) {
    cuda_check(cudaMemcpy(p_, v.data(), n_ * sizeof(T), cudaMemcpyHostToDevice), "upload");
  }
  Buffer(Buffer&& o) noexcept : n_(std::exchange(o.n_, 0)), p_(std::exchange(o.p_, nullptr)) {}
  Buffer& operator=(Buffer&&) = delete;
  ~Buffer() { cudaFree(p_); }
  T* get() const { return p_; }
  size_t size() const { return n_; }
  std::vector<T> to_host() const {
    std::vector<T> v(n_);
    cuda_check(cudaMemcpy(v.data(), p_, n_ * sizeof(T), cudaMemcpyDeviceToHost), "download");
    return v;
  }

 private:
  size_t n_;
  T* p_ = nullptr;
};

// What a block of the kernel may have, never lowered: launches recorded with more rely on it.
template <class... P>
void allow_dynamic_shared(void (*kernel)(P...), size_t bytes) {
  cudaFuncAttributes now{};
  cuda_check(cudaFuncGetAttributes(&now, kernel), "shared memory");
  if (static_cast<size_t>(now.maxDynamicSharedSizeBytes) >= bytes) return;
  cuda_check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(bytes)),
             "shared memory");
}

// The architecture whose instructions the kernel has on this device: 80 where a driver made code
// for 90 of such PTX.
template <class... P>
int compiled_for(void (*kernel)(P...)) {
  cudaFuncAttributes attributes{};
  cuda_check(cudaFuncGetAttributes(&attributes, kernel), "look for code");
  return attributes.ptxVersion;
}

template <class... P, class... A>
void launch(void (*kernel)(P...), Dim3 grid, Dim3 block, size_t shared_bytes, Stream stream,
            A&&... args) {
  if (stream.dry) return;
  if (shared_bytes > kDynamicUnasked) allow_dynamic_shared(kernel, shared_bytes);
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(grid.x, grid.y, grid.z);
  config.blockDim = dim3(block.x, block.y, block.z);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream.handle;
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &overlap;
  config.numAttrs = stream.overlap ? 1 : 0;
  cuda_check(cudaLaunchKernelEx(&config, kernel, P(std::forward<A>(args))...), "launch");
}

}  // namespace hone::simt
