// The one header a kernel includes. nvcc maps it onto CUDA; any C++20 compiler maps it onto the
// emulator, which runs every CUDA thread as a fiber so that tests check kernels without a GPU.
//
//   __global__ __device__ __forceinline__ __launch_bounds__(n) __constant__
//   threadIdx blockIdx blockDim gridDim, lane_id(), warp_id()
//   SIMT_SHARED(name, type)              static shared memory:  SIMT_SHARED(tile, float[32][33]);
//   dynamic_shared<T>()                  the launch's dynamic shared memory
//   sync_block() sync_warp() thread_fence() spin_pause()
//   wait_for_previous() start_next()     programmatic dependent launch: a kernel may start while
//                                        the one ahead still runs; before wait_for_previous() it
//                                        may read only what no kernel writes (weights), and every
//                                        thread of every kernel calls it once
//   shfl shfl_xor shfl_up shfl_down warp_ballot warp_sum warp_max block_sum
//   atomic_add atomic_max atomic_or      return what was there
//   load<N>(p) load_nc<N>(p) store(p, Vec)            one 4-, 8- or 16-byte access
//   prefetch_l2(p, bytes)
//   cp_async_ahead<L2 bytes>(dst, src)   cp_async<16> that brings its neighbours into L2
//   cp_async<16>(dst, src, valid) cp_async_commit() cp_async_wait<N>()
//   ldmatrix<N>(r, row) ldmatrix_trans<N>(r, row)
//   mma<T>(d, a, b) mma_sparse<T, selector>(d, a, b, meta) dp4a
//   and_or and_xor                       three-operand logic
//   half2 packed arithmetic: f16x2_fma f16x2_sub f16x2_pack bf16x2_pack f16x2_from_f8
//   launch(kernel, grid, block, shared_bytes, stream, args...), compiled_for(kernel), Buffer<T>,
//   Stream
#pragma once

#include "kernels/simt/types.h"

#ifdef __CUDACC__
#include "kernels/simt/cuda.h"
#else
#include "kernels/simt/emu.h"
#endif

namespace hone::simt {

constexpr int kWarpSize = 32;

__device__ __forceinline__ int lane_id() { return static_cast<int>(threadIdx.x) % kWarpSize; }
__device__ __forceinline__ int warp_id() { return static_cast<int>(threadIdx.x) / kWarpSize; }

// Sum over the warp; every lane gets it.
template <class T>
__device__ __forceinline__ T warp_sum(T v) {
#pragma unroll
  for (int m = kWarpSize / 2; m; m /= 2) v += shfl_xor(v, m);
  return v;
}

template <class T>
__device__ __forceinline__ T warp_max(T v) {
#pragma unroll
  for (int m = kWarpSize / 2; m; m /= 2) {
    const T other = shfl_xor(v, m);
    v = other > v ? other : v;
  }
  return v;
}

// Sum over a one-dimensional block of whole warps; every thread gets it. `scratch` is shared
// memory for one value per warp, and must not be touched by others until the next sync_block().
template <class T>
__device__ __forceinline__ T block_sum(T v, T (&scratch)[kWarpSize]) {
  v = warp_sum(v);
  if (lane_id() == 0) scratch[warp_id()] = v;
  sync_block();
  const int warps = static_cast<int>(blockDim.x) / kWarpSize;
  return warp_sum(lane_id() < warps ? scratch[lane_id()] : T{});
}

}  // namespace hone::simt
