// Elementwise ops: 16 bytes a thread where pointers and sizes allow it.
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/rows.cuh"

namespace hone::cuda {
namespace {

enum class Kind { kUnary, kAdd, kMul, kGated };

template <Kind kKind>
__device__ __forceinline__ float combine(Activation activation, float a, float b) {
  if constexpr (kKind == Kind::kAdd)
    return a + b;
  else if constexpr (kKind == Kind::kMul)
    return a * b;
  else if constexpr (kKind == Kind::kGated)
    return activate(activation, a) * b;
  else
    return activate(activation, a);
}

template <Kind kKind, int kWidth>
__global__ void __launch_bounds__(kRowThreads)
    pointwise_kernel(const float* a, const float* b, float* out, int64_t count,
                     Activation activation) {
  simt::start_next();
  simt::wait_for_previous();
  const int64_t first = (int64_t{blockIdx.x} * kRowThreads + threadIdx.x) * kWidth;
  if (kWidth > 1 && first + kWidth <= count) {
    const auto x = simt::load<kWidth>(a + first);
    simt::Vec<float, kWidth> y = x;
    if constexpr (kKind != Kind::kUnary) y = simt::load<kWidth>(b + first);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) y[i] = combine<kKind>(activation, x[i], y[i]);
    simt::store(out + first, y);
    return;
  }
  for (int64_t i = first; i < count && i < first + kWidth; ++i) {
    out[i] = combine<kKind>(activation, a[i], kKind == Kind::kUnary ? 0.0f : b[i]);
  }
}

template <Kind kKind>
void run(BackendContext& opaque, const float* a, const float* b, float* out, int64_t count,
         Activation activation = Activation::kNone) {
  if (count == 0) return;
  const bool wide = aligned16(a) && aligned16(b) && aligned16(out);
  simt::launch(wide ? pointwise_kernel<kKind, 4> : pointwise_kernel<kKind, 1>,
               {blocks_per_row(count, wide ? 4 : 1)}, {kRowThreads}, 0, own(opaque).stream, a, b,
               out, count, activation);
}

template <int kWidth>
__global__ void __launch_bounds__(kRowThreads)
    add_bias_kernel(const float* x, const float* bias, float* out, int64_t dim, unsigned blocks) {
  simt::start_next();
  simt::wait_for_previous();
  const auto [row, column] = row_place(blocks, kWidth);
  if (column >= dim) return;
  auto value = simt::load<kWidth>(x + row * dim + column);
  const auto plus = simt::load<kWidth>(bias + column);
#pragma unroll
  for (int i = 0; i < kWidth; ++i) value[i] += plus[i];
  simt::store(out + row * dim + column, value);
}

}  // namespace

void unary(BackendContext& context, const UnaryArgs& args) {
  run<Kind::kUnary>(context, args.x, nullptr, args.out, args.count, args.activation);
}

void add(BackendContext& context, const BinaryArgs& args) {
  run<Kind::kAdd>(context, args.a, args.b, args.out, args.count);
}

void mul(BackendContext& context, const BinaryArgs& args) {
  run<Kind::kMul>(context, args.a, args.b, args.out, args.count);
}

void gated_activation(BackendContext& context, const GatedActivationArgs& args) {
  run<Kind::kGated>(context, args.gate, args.up, args.out, args.count, args.activation);
}

void add_bias(BackendContext& context, const AddBiasArgs& args) {
  if (args.rows == 0 || args.dim == 0) return;
  const bool wide =
      args.dim % 4 == 0 && aligned16(args.x) && aligned16(args.bias) && aligned16(args.out);
  const unsigned blocks = blocks_per_row(args.dim, wide ? 4 : 1);
  simt::launch(wide ? add_bias_kernel<4> : add_bias_kernel<1>,
               {static_cast<unsigned>(args.rows * blocks)}, {kRowThreads}, 0, own(context).stream,
               args.x, args.bias, args.out, args.dim, blocks);
}

}  // namespace hone::cuda
