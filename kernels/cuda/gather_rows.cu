// Rows by index.
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/rows.cuh"

namespace hone::cuda {
namespace {

template <int kWidth>
__global__ void __launch_bounds__(kRowThreads)
    gather_rows_kernel(const float* x, const int32_t* rows, float* out, int64_t dim,
                       unsigned blocks) {
  simt::start_next();
  simt::wait_for_previous();
  const auto [row, column] = row_place(blocks, kWidth);
  if (column >= dim) return;
  simt::store(out + row * dim + column, simt::load<kWidth>(x + rows[row] * dim + column));
}

}  // namespace

void gather_rows(BackendContext& context, const GatherRowsArgs& args) {
  if (args.count == 0 || args.dim == 0) return;
  const bool wide = args.dim % 4 == 0 && aligned16(args.x) && aligned16(args.out);
  const unsigned blocks = blocks_per_row(args.dim, wide ? 4 : 1);
  simt::launch(wide ? gather_rows_kernel<4> : gather_rows_kernel<1>,
               {static_cast<unsigned>(args.count * blocks)}, {kRowThreads}, 0, own(context).stream,
               args.x, args.rows, args.out, args.dim, blocks);
}

}  // namespace hone::cuda
