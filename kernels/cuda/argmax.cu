// Index of the largest element: several blocks a row, of which the last to end compares what they
// found.
#include <algorithm>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/rows.cuh"

namespace hone::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kPartElements = 2048;
constexpr int64_t kMostParts = 128;  // of a row

// An element as a number that orders like (value, lowest index); a NaN and +infinity are above all
// others.
using Key = unsigned long long;
constexpr Key kRefusedKey = ~Key{0};

__device__ __forceinline__ Key key_of(float value, int64_t index) {
  const auto raw = simt::bits<uint32_t>(value + 0.0f);  // -0 becomes 0: they are equal
  if ((raw & 0x7fffffffu) > 0x7f800000u || raw == 0x7f800000u) return kRefusedKey;
  const uint32_t ordered = raw >> 31 ? ~raw : raw | 0x80000000u;
  return Key{ordered} << 32 | (0xffffffffu - static_cast<uint32_t>(index));
}

__device__ __forceinline__ bool is_finite(float value) {
  return (simt::bits<uint32_t>(value) & 0x7f800000u) != 0x7f800000u;
}

struct Found {
  Key key;
  Key finite;  // not 0: a finite element was seen
};

// Over the block; thread 0 gets it.
__device__ __forceinline__ Found reduce(Found mine, Found (&scratch)[simt::kWarpSize]) {
  const int lane = simt::lane_id();
  mine.key = simt::warp_max(mine.key);
  mine.finite = simt::warp_max(mine.finite);
  if (lane == 0) scratch[simt::warp_id()] = mine;
  simt::sync_block();
  if (simt::warp_id() != 0) return mine;
  mine = lane < kThreads / simt::kWarpSize ? scratch[lane] : Found{0, 0};
  mine.key = simt::warp_max(mine.key);
  mine.finite = simt::warp_max(mine.finite);
  return mine;
}

template <int kWidth>
__device__ __forceinline__ Found search(const float* x, int64_t begin, int64_t end) {
  Found found{0, 0};
  for (int64_t i = begin + threadIdx.x * kWidth; i < end; i += kThreads * kWidth) {
    const auto v = simt::load<kWidth>(x + i);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      const Key key = key_of(v[e], i + e);
      found.key = key > found.key ? key : found.key;
      found.finite |= is_finite(v[e]);
    }
  }
  return found;
}

// partial: [rows, parts]; arrived: [rows], zero.
template <int kWidth>
__global__ void __launch_bounds__(kThreads)
    argmax_kernel(const float* x, int32_t* out, int64_t dim, unsigned parts, Found* partial,
                  unsigned* arrived) {
  SIMT_SHARED(scratch, Found[simt::kWarpSize]);
  SIMT_SHARED(last, bool);
  simt::start_next();
  simt::wait_for_previous();
  const unsigned row = blockIdx.x / parts, part = blockIdx.x % parts;
  const int64_t size = (dim + parts * 4 - 1) / (parts * 4) * 4;
  const int64_t begin = part * size, end = begin + size < dim ? begin + size : dim;
  const Found mine = reduce(search<kWidth>(x + row * dim, begin, end), scratch);

  if (threadIdx.x == 0) {
    partial[blockIdx.x] = mine;
    simt::thread_fence();
    last = simt::atomic_add(arrived + row, 1u) == parts - 1;
  }
  simt::sync_block();
  if (!last) return;
  simt::thread_fence();
  Found all{0, 0};
  if (threadIdx.x < parts) all = partial[row * parts + threadIdx.x];
  all = reduce(all, scratch);
  if (threadIdx.x != 0) return;
  const bool valid = all.key != kRefusedKey && all.finite != 0;
  out[row] = valid ? static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(all.key)) : -1;
  arrived[row] = 0;
}

}  // namespace

void argmax(BackendContext& opaque, const ArgmaxArgs& args) {
  if (args.rows == 0) return;
  Context& context = own(opaque);
  const int64_t parts =
      std::clamp<int64_t>((args.dim + kPartElements - 1) / kPartElements, 1, kMostParts);
  static_assert(kMostParts <= kThreads);
  auto* const partial = reinterpret_cast<Found*>(
      context.scratch.reserve(sizeof(Found) * static_cast<size_t>(args.rows * parts)));
  auto* const arrived = reinterpret_cast<unsigned*>(
      context.counters.reserve(sizeof(unsigned) * static_cast<size_t>(args.rows)));
  const bool wide = args.dim % 4 == 0 && aligned16(args.x);
  simt::launch(wide ? argmax_kernel<4> : argmax_kernel<1>,
               {static_cast<unsigned>(args.rows * parts)}, {kThreads}, 0, context.stream, args.x,
               args.out, args.dim, static_cast<unsigned>(parts), partial, arrived);
}

}  // namespace hone::cuda
