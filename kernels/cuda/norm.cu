// RMS norm and layer norm: a block a row. Statistics in double: sums of thousands of squares lose
// digits in f32, and a large element overflows it.
#include <algorithm>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/row_part.cuh"
#include "kernels/cuda/rows.cuh"

namespace hone::cuda {
namespace {

// At most; layer norm needs more registers. One block has a multiprocessor's: left to itself, ptxas
// makes room for two, and spills.
constexpr int most_threads(bool layer) { return layer ? 512 : 1024; }

struct NormArgs {
  RowInput input;
  const float* weight;
  const float* bias;  // layer norm; may be null
  float* out;
  double eps;
};

template <bool kLayer, int kWidth>
__global__ void __launch_bounds__(most_threads(kLayer), 1) norm_kernel(NormArgs args) {
  SIMT_SHARED(sums, double[simt::kWarpSize]);
  SIMT_SHARED(squares, double[simt::kWarpSize]);
  using Vector = simt::Vec<float, kWidth>;
  simt::start_next();
  simt::wait_for_previous();
  const int64_t row = blockIdx.x;
  const auto dim = static_cast<double>(args.input.dim);
  const RowPart<kWidth> part(args.input, row);

  double mean = 0;
  if constexpr (kLayer) {
    part.each([&](int64_t, const Vector& v) {
#pragma unroll
      for (int e = 0; e < kWidth; ++e) mean += static_cast<double>(v[e]);
    });
    mean = simt::block_sum(mean, sums) / dim;
  }
  double square = 0;
  part.each([&](int64_t, const Vector& v) {
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      const double d = static_cast<double>(v[e]) - mean;
      square += d * d;
    }
  });
  square = simt::block_sum(square, squares) / dim;
  const auto factor = static_cast<float>(1 / sqrt(square + args.eps));

  part.each([&](int64_t c, const Vector& v) {
    const auto weight = simt::load<kWidth>(args.weight + c);
    Vector out, bias{};
    if (kLayer && args.bias) bias = simt::load<kWidth>(args.bias + c);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      const float centred = kLayer ? static_cast<float>(static_cast<double>(v[e]) - mean) : v[e];
      out[e] = centred * factor * weight[e];
      if (kLayer && args.bias) out[e] += bias[e];
    }
    simt::store(args.out + row * args.input.dim + c, out);
  });
}

template <bool kLayer, int kWidth>
void run_width(Context& context, const NormArgs& args, int64_t rows) {
  // Few rows: many threads each, to be done soon. Many: few, so that rows of different phases share
  // a multiprocessor.
  const int64_t vectors = (args.input.dim + kWidth - 1) / kWidth;
  const int64_t each = rows < 2 * context.device.multiprocessors ? 1 : kKept;
  const int64_t warps = ((vectors + each - 1) / each + simt::kWarpSize - 1) / simt::kWarpSize;
  const auto threads = static_cast<unsigned>(
      std::clamp<int64_t>(warps * simt::kWarpSize, simt::kWarpSize, most_threads(kLayer)));
  simt::launch(norm_kernel<kLayer, kWidth>, {static_cast<unsigned>(rows)}, {threads}, 0,
               context.stream, args);
}

template <bool kLayer>
void run(BackendContext& opaque, const NormArgs& args, int64_t rows) {
  const RowInput& in = args.input;
  if (rows == 0 || in.dim == 0) return;
  const void* const pointers[] = {in.x, in.residual, in.sum, args.weight, args.bias, args.out};
  const bool wide = in.dim % 4 == 0 && std::ranges::all_of(pointers, aligned16);
  wide ? run_width<kLayer, 4>(own(opaque), args, rows)
       : run_width<kLayer, 1>(own(opaque), args, rows);
}

}  // namespace

void rms_norm(BackendContext& context, const RmsNormArgs& args) {
  run<false>(context,
             {.input = {args.x, args.dim, args.residual, args.sum},
              .weight = args.weight,
              .bias = nullptr,
              .out = args.out,
              .eps = args.eps},
             args.rows);
}

void layer_norm(BackendContext& context, const LayerNormArgs& args) {
  run<true>(context,
            {.input = {args.x, args.dim, args.residual, args.sum},
             .weight = args.weight,
             .bias = args.bias,
             .out = args.out,
             .eps = args.eps},
            args.rows);
}

}  // namespace hone::cuda
