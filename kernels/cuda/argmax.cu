// Index of the largest element: several blocks a row, of which the last to end compares what they
// found.
#include <algorithm>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/largest.cuh"
#include "kernels/cuda/rows.cuh"

namespace hone::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kPartElements = 2048;
constexpr int64_t kMostParts = 128;  // of a row

template <int kWidth>
__device__ __forceinline__ Largest search(const float* x, int64_t begin, int64_t end) {
  Largest found{0, 0};
  for (int64_t i = begin + threadIdx.x * kWidth; i < end; i += kThreads * kWidth) {
    const auto v = simt::load<kWidth>(x + i);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) found.see(v[e], i + e);
  }
  return found;
}

// partial: [rows, parts]; arrived: [rows], zero.
template <int kWidth>
__global__ void __launch_bounds__(kThreads)
    argmax_kernel(const float* x, int32_t* out, int64_t dim, unsigned parts, Largest* partial,
                  unsigned* arrived) {
  SIMT_SHARED(scratch, Largest[simt::kWarpSize]);
  SIMT_SHARED(last, bool);
  simt::start_next();
  simt::wait_for_previous();
  const unsigned row = blockIdx.x / parts, part = blockIdx.x % parts;
  const int64_t size = (dim + parts * 4 - 1) / (parts * 4) * 4;
  const int64_t begin = part * size, end = begin + size < dim ? begin + size : dim;
  const Largest mine = reduce(search<kWidth>(x + row * dim, begin, end), scratch);

  if (threadIdx.x == 0) {
    partial[blockIdx.x] = mine;
    simt::thread_fence();
    last = simt::atomic_add(arrived + row, 1u) == parts - 1;
  }
  simt::sync_block();
  if (!last) return;
  simt::thread_fence();
  Largest all{0, 0};
  if (threadIdx.x < parts) all = partial[row * parts + threadIdx.x];
  all = reduce(all, scratch);
  if (threadIdx.x != 0) return;
  out[row] = all.valid() ? all.index() : -1;
  arrived[row] = 0;
}

}  // namespace

void argmax(BackendContext& opaque, const ArgmaxArgs& args) {
  if (args.rows == 0) return;
  Context& context = own(opaque);
  const int64_t parts =
      std::clamp<int64_t>((args.dim + kPartElements - 1) / kPartElements, 1, kMostParts);
  static_assert(kMostParts <= kThreads);
  auto* const partial = reinterpret_cast<Largest*>(
      context.scratch.reserve(sizeof(Largest) * static_cast<size_t>(args.rows * parts)));
  auto* const arrived = reinterpret_cast<unsigned*>(
      context.counters.reserve(sizeof(unsigned) * static_cast<size_t>(args.rows)));
  const bool wide = args.dim % 4 == 0 && aligned16(args.x);
  simt::launch(wide ? argmax_kernel<4> : argmax_kernel<1>,
               {static_cast<unsigned>(args.rows * parts)}, {kThreads}, 0, context.stream, args.x,
               args.out, args.dim, static_cast<unsigned>(parts), partial, arrived);
}

}  // namespace hone::cuda
