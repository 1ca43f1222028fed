// The three products, each as one Product: weights straight from memory for few tokens, through
// tensor cores by tiles for many.
#include <algorithm>
#include <utility>

#include "kernels/cuda/products.h"
#include "kernels/cuda/sparse.h"

namespace hone::cuda {
namespace {

// Rounds the tokens of a matrix that wants it, the norm on the way.
void round_input(Context& context, Product& product) {
  if (!product.weight[0].quantize_input || product.tokens == 0) return;
  const int64_t count = product.tokens * product.columns;
  auto* const values = reinterpret_cast<float*>(
      context.rounded.reserve(sizeof(float) * static_cast<size_t>(count + product.tokens)));
  const WeightView& weight = product.weight[0];
  round_tokens(context, {.x = product.x,
                         .norm = product.norm,
                         .values = values,
                         .steps = values + count,
                         .tokens = product.tokens,
                         .columns = product.columns,
                         .fp8 = weight.packed_bits == 0 && weight.type == DType::kF8E4M3});
  product.x = values;
  product.norm = {};
  product.token_scale = values + count;
}

Product some_tokens(Product product, int64_t first, int64_t count) {
  product.tokens = count;
  product.x += first * product.columns;
  if (product.token_scale) product.token_scale += first;
  if (product.residual) product.residual += first * product.weight[0].rows;
  for (int i = 0; i < product.matrices; ++i) {
    if (product.out[i]) product.out[i] += first * product.out_stride[i];
  }
  return product;
}

// Whether one kernel can read both.
bool alike(const WeightView& a, const WeightView& b) {
  return a.type == b.type && a.packed_bits == b.packed_bits && a.group == b.group &&
         !a.scales == !b.scales && a.scale_type == b.scale_type && !a.zeros == !b.zeros &&
         a.quantize_input == b.quantize_input && !a.index == !b.index;
}

// Many tokens multiply 2:4 matrices as dense ones, made for the occasion.
void make_dense(Context& context, Product& product) {
  int64_t bytes = 0;
  for (int i = 0; i < product.matrices; ++i) bytes += dense_bytes(product.weight[i]);
  std::byte* memory = context.dense.reserve(static_cast<size_t>(bytes));
  for (int i = 0; i < product.matrices; ++i) {
    const int64_t used = dense_bytes(product.weight[i]);
    product.weight[i] = expand(context, product.weight[i], memory);
    memory += used;
  }
}

void gemm_of_dense(Context& context, Product& product) {
  if (!gemm_rounds(context, product)) round_input(context, product);
  gemm(context, product);
}

// Kernels may read weights before those ahead have ended; here these weights are what they write.
void gemm_of_sparse(Context& context, Product& product) {
  make_dense(context, product);
  struct Apart {
    explicit Apart(bool& overlap) : to(overlap), before(std::exchange(overlap, false)) {}
    ~Apart() { to = before; }
    bool& to;
    bool before;
  } apart(context.stream.overlap);
  gemm_of_dense(context, product);
}

void run(Context& context, Product product) {
  if (product.tokens > kMatvecTokens && !context.exact) {
    return product.weight[0].index ? gemm_of_sparse(context, product)
                                   : gemm_of_dense(context, product);
  }
  round_input(context, product);
  for (int64_t t = 0; t < product.tokens; t += kMatvecTokens) {
    matvec(context, some_tokens(product, t, std::min(kMatvecTokens, product.tokens - t)));
  }
}

}  // namespace

void matmul(BackendContext& opaque, const MatmulArgs& args) {
  Product product = {.x = args.x,
                     .tokens = args.tokens,
                     .columns = args.weight.columns,
                     .norm = args.norm,
                     .activation = args.activation,
                     .residual = args.residual};
  product.weight[0] = args.weight;
  product.bias[0] = args.bias;
  product.out[0] = args.out;
  product.out_stride[0] = args.out_stride ? args.out_stride : args.weight.rows;
  run(own(opaque), product);
}

namespace {

void gated_of_unlike(BackendContext& opaque, const GatedMatmulArgs& args) {
  const int64_t count = args.tokens * args.gate.rows;
  auto* const factor = reinterpret_cast<float*>(
      own(opaque).factor.reserve(sizeof(float) * static_cast<size_t>(count)));
  MatmulArgs part = {
      .x = args.x, .weight = args.up, .out = factor, .tokens = args.tokens, .norm = args.norm};
  matmul(opaque, part);
  part.weight = args.gate;
  part.out = args.out;
  part.activation = args.activation;
  matmul(opaque, part);
  mul(opaque, {.a = args.out, .b = factor, .out = args.out, .count = count});
}

}  // namespace

void gated_matmul(BackendContext& opaque, const GatedMatmulArgs& args) {
  if (!alike(args.gate, args.up)) return gated_of_unlike(opaque, args);
  Product product = {.x = args.x,
                     .tokens = args.tokens,
                     .columns = args.gate.columns,
                     .norm = args.norm,
                     .matrices = 2,
                     .gated = true,
                     .activation = args.activation};
  product.weight[0] = args.gate;
  product.weight[1] = args.up;
  product.out[0] = args.out;
  product.out_stride[0] = args.gate.rows;
  run(own(opaque), product);
}

void qkv_matmul(BackendContext& opaque, const QkvMatmulArgs& args) {
  if (!alike(args.weight[0], args.weight[1]) || !alike(args.weight[0], args.weight[2])) {
    for (int i = 0; i < 3; ++i) {
      matmul(opaque, {.x = args.x,
                      .weight = args.weight[i],
                      .out = args.out[i],
                      .tokens = args.tokens,
                      .bias = args.bias[i],
                      .norm = args.norm});
    }
    return;
  }
  Product product = {.x = args.x,
                     .tokens = args.tokens,
                     .columns = args.weight[0].columns,
                     .norm = args.norm,
                     .matrices = 3};
  for (int i = 0; i < 3; ++i) {
    product.weight[i] = args.weight[i];
    product.bias[i] = args.bias[i];
    product.out[i] = args.out[i];
    product.out_stride[i] = args.weight[i].rows;
  }
  run(own(opaque), product);
}

}  // namespace hone::cuda
