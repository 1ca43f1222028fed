// Hopper's asynchronous primitives (sm_90a), on top of device.h:
//   mbarrier_init mbarrier_arrive mbarrier_arrive_expect mbarrier_wait fence_mbarrier_init
//   TensorMap make_tensor_map(...), tma_load_2d(dst, map, x, y, barrier)
//   matrix_descriptor(p), wgmma_fence, wgmma<T>(d, a, b), wgmma_commit, wgmma_wait<N>
//   fence_proxy_async()
#pragma once

#include "kernels/simt/device.h"

namespace hone::simt {
// An mbarrier in shared memory, opaque.
struct alignas(8) Mbarrier {
  uint64_t state;
};
}  // namespace hone::simt

#ifdef __CUDACC__
#include "kernels/simt/cuda_hopper.h"
#else
#include "kernels/simt/emu_hopper.h"
#endif

namespace hone::simt {

// Describes a K-major tile in shared memory for wgmma: rows of 128 bytes in TMA's 128-byte
// swizzle, at a multiple of 1024 bytes. Adding n to it moves 16n bytes along k.
__device__ __forceinline__ uint64_t matrix_descriptor(const void* tile) {
  constexpr uint64_t kSwizzle128 = uint64_t{1} << 62, kRows8 = uint64_t{1024 >> 4} << 32;
  return kSwizzle128 | kRows8 | uint64_t{1} << 16 | (shared_address(tile) & 0x3ffff) >> 4;
}

}  // namespace hone::simt
