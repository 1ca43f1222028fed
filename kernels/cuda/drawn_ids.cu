// The ids that the step before drew become this step's.
#include "kernels/cuda/cuda_ops.h"

namespace hone::cuda {
namespace {

constexpr unsigned kThreads = 128;

__global__ void __launch_bounds__(kThreads)
    drawn_ids_kernel(int32_t* ids, const int32_t* drawn, int64_t stride, int64_t count) {
  simt::start_next();
  simt::wait_for_previous();
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < count) ids[i] = drawn_id(ids[i], drawn, stride);
}

}  // namespace

void drawn_ids(BackendContext& opaque, const DrawnIdsArgs& args) {
  if (args.count == 0) return;
  simt::launch(drawn_ids_kernel, {static_cast<unsigned>((args.count + kThreads - 1) / kThreads)},
               {kThreads}, 0, own(opaque).stream, args.ids, args.drawn, args.stride, args.count);
}

}  // namespace hone::cuda
