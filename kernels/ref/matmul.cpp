// Matrix products: each weight row is decoded to f32 once, then multiplied in double with every
// token. quantize_input rounds the token first, as programs with integer kernels do.
#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/codec/codec.h"
#include "kernels/ref/ref_ops.h"

namespace hone::ref {
namespace {

// A token as the product sees it: values[c] * scale.
struct Input {
  std::vector<float> values;  // [tokens, columns]
  std::vector<double> scale;  // [tokens]
};

float rounded(float x, float scale, bool fp8) {
  if (fp8) return f8e4m3_to_f32(f32_to_f8e4m3(x / scale));
  return std::clamp(std::nearbyint(x / scale), -128.0f, 127.0f);
}

// Dynamic, symmetric, one scale per token: amax / 127.5 for int8 and amax / 448 for fp8 (the rule
// of compressed-tensors). A NaN or an infinity has no integer, so it makes the whole token NaN.
void quantize_token(float* x, int64_t columns, bool fp8, double* scale) {
  float largest = 0;
  bool finite = true;
  for (int64_t c = 0; c < columns; ++c) {
    finite = finite && std::isfinite(x[c]);
    largest = std::max(largest, std::fabs(x[c]));
  }
  float step = largest / (fp8 ? 448.0f : 127.5f);
  if (step == 0) step = std::numeric_limits<float>::epsilon();
  for (int64_t c = 0; c < columns; ++c) x[c] = finite ? rounded(x[c], step, fp8) : 0;
  *scale = finite ? step : std::numeric_limits<double>::quiet_NaN();
}

Input prepare(const float* x, int64_t tokens, const WeightView& weight) {
  const int64_t columns = weight.columns;
  Input input{{x, x + tokens * columns}, std::vector<double>(tokens, 1.0)};
  if (!weight.quantize_input) return input;
  const bool fp8 = weight.packed_bits == 0 && weight.type == DType::kF8E4M3;
  for (int64_t t = 0; t < tokens; ++t) {
    quantize_token(input.values.data() + t * columns, columns, fp8, &input.scale[t]);
  }
  return input;
}

double dot(const float* a, const float* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

// x [tokens, columns] times weight, transposed: [tokens, rows].
std::vector<double> products(const float* x, int64_t tokens, const WeightView& weight) {
  const Input input = prepare(x, tokens, weight);
  std::vector<double> out(tokens * weight.rows);
  std::vector<float> row(weight.columns);
  for (int64_t r = 0; r < weight.rows; ++r) {
    decode_weight_row(weight, r, row.data());
    for (int64_t t = 0; t < tokens; ++t) {
      const float* const token = input.values.data() + t * weight.columns;
      out[t * weight.rows + r] = dot(token, row.data(), weight.columns) * input.scale[t];
    }
  }
  return out;
}

}  // namespace

void matmul(BackendContext&, const MatmulArgs& args) {
  const int64_t rows = args.weight.rows;
  const int64_t stride = args.out_stride ? args.out_stride : rows;
  const std::vector<double> product = products(args.x, args.tokens, args.weight);
  for (int64_t t = 0; t < args.tokens; ++t) {
    for (int64_t r = 0; r < rows; ++r) {
      double value = product[t * rows + r];
      if (args.bias) value += args.bias[r];
      value = activate(args.activation, value);
      if (args.residual) value += args.residual[t * rows + r];
      args.out[t * stride + r] = static_cast<float>(value);
    }
  }
}

void gated_matmul(BackendContext&, const GatedMatmulArgs& args) {
  const std::vector<double> gate = products(args.x, args.tokens, args.gate);
  const std::vector<double> up = products(args.x, args.tokens, args.up);
  for (size_t i = 0; i < gate.size(); ++i) {
    args.out[i] = static_cast<float>(activate(args.activation, gate[i]) * up[i]);
  }
}

void qkv_matmul(BackendContext& context, const QkvMatmulArgs& args) {
  for (int i = 0; i < 3; ++i) {
    matmul(context, {.x = args.x,
                     .weight = args.weight[i],
                     .out = args.out[i],
                     .tokens = args.tokens,
                     .bias = args.bias[i]});
  }
}

}  // namespace hone::ref
