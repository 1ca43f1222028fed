// The product behind matmul, gated_matmul and qkv_matmul: one to three matrices over one input.
#pragma once

#include "kernels/cuda/cuda_ops.h"

namespace hone::cuda {

// value[i][t, r] = token_scale[t] * sum_c norm(x)[t, c] * weight[i][r, c] + bias[i][r]
// not gated: out[i] = activation(value[i]) + residual        (residual: with one matrix only)
// gated:     out[0] = activation(value[0]) * value[1]
// Weights are placed (weights.h) and agree in storage, columns and group: matmul.cu takes unlike
// ones apart.
struct Product {
  const float* x = nullptr;  // [tokens, columns]
  int64_t tokens = 0;
  int64_t columns = 0;
  InputNorm norm;
  const float* token_scale = nullptr;  // [tokens], or null
  int matrices = 1;
  bool gated = false;
  WeightView weight[3];
  const float* bias[3] = {};
  float* out[3] = {};
  int64_t out_stride[3] = {};
  Activation activation = Activation::kNone;
  const float* residual = nullptr;  // [tokens, rows]; may be out[0]
};

// Decoding: the weights are read once, straight from memory, for up to so many tokens; a token's
// bytes do not depend on how many there are.
inline constexpr int64_t kMatvecTokens = 16;
void matvec(Context& context, const Product& product);  // matvec.cu

// Prefill, any number of tokens: weights as 16-bit floats on tensor cores. Activations are rounded
// to the same 16 bits (F32 weights: nothing is rounded).
void gemm(Context& context, const Product& product);  // gemm.cu

// Whether gemm rounds the tokens of quantize_input itself, to the bytes that the product
// multiplies; else they come rounded, with their token_scale.
bool gemm_rounds(const Context& context, const Product& product);

// quantize_input (W8A8): each token, normalised where there is a norm, rounded to int8 (step =
// largest / 127.5) or fp8 (largest / 448). A token with a NaN or an infinity: values 0, step NaN.
struct RoundTokensArgs {
  const float* x;
  InputNorm norm = {};
  float* values = nullptr;   // [tokens, columns] whole numbers or fp8 values, as f32; may be x
  uint8_t* codes = nullptr;  // or int8 and E4M3, [tokens, code_stride]: words turned as in rows of
  int64_t code_stride = 0;   // weights (weights.h), padding 0; a multiple of 64
  float* steps;              // [tokens]
  int64_t tokens;
  int64_t columns;
  int64_t fp8 = 0;  // 1: not to int8. No byte of a kernel's argument is padding.
};
void round_tokens(Context& context, const RoundTokensArgs& args);  // round_tokens.cu

}  // namespace hone::cuda
