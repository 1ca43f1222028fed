// Matrix products: each weight row is decoded to f32 once, then multiplied in double with every
// token. quantize_input, int8_input and bf16_input round the token first, as faster programs do.
#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/codec/codec.h"
#include "kernels/ref/ref_ops.h"

namespace hone::ref {
namespace {

// A token as the product sees it: values[c] * scale[c / run].
struct Input {
  std::vector<float> values;  // [tokens, columns]
  std::vector<double> scale;  // [tokens, runs]
  int64_t run;                // columns that share a scale
};

// Largest magnitude, or NaN: a NaN or an infinity has no integer, so it makes all its scale covers
// NaN.
float magnitude(const float* x, int64_t count) {
  float largest = 0;
  bool finite = true;
  for (int64_t c = 0; c < count; ++c) {
    finite = finite && std::isfinite(x[c]);
    largest = std::max(largest, std::fabs(x[c]));
  }
  return finite ? largest : std::numeric_limits<float>::quiet_NaN();
}

float to_int8(float x) { return std::clamp(std::nearbyint(x), -128.0f, 127.0f); }

// quantize_input: x / step, a step per token, amax / 127.5 for int8 and amax / 448 for fp8 (the
// rule of compressed-tensors). Returns the step.
double quantize_token(float* x, int64_t count, bool fp8) {
  float step = magnitude(x, count) / (fp8 ? 448.0f : 127.5f);
  if (step == 0) step = std::numeric_limits<float>::epsilon();
  for (int64_t c = 0; c < count; ++c) {
    if (std::isnan(step))
      x[c] = 0;
    else
      x[c] = fp8 ? f8e4m3_to_f32(f32_to_f8e4m3(x[c] / step)) : to_int8(x[c] / step);
  }
  return step;
}

// int8_input: x * (1 / step), a step per run, amax / 127: the largest value is met exactly.
double quantize_run(float* x, int64_t count) {
  float step = magnitude(x, count) / 127.0f;
  if (step < std::numeric_limits<float>::min()) step = std::numeric_limits<float>::epsilon();
  const float factor = 1.0f / step;
  for (int64_t c = 0; c < count; ++c) x[c] = std::isnan(step) ? 0 : to_int8(x[c] * factor);
  return step;
}

void normalise(float* x, int64_t tokens, int64_t columns, const InputNorm& norm) {
  for (int64_t t = 0; t < tokens; ++t, x += columns) {
    double squares = 0;
    for (int64_t c = 0; c < columns; ++c) squares += static_cast<double>(x[c]) * x[c];
    const double factor = 1 / std::sqrt(squares / static_cast<double>(columns) + norm.eps);
    for (int64_t c = 0; c < columns; ++c) x[c] = static_cast<float>(x[c] * factor * norm.weight[c]);
  }
}

Input prepare(const float* x, int64_t tokens, const WeightView& weight, const InputNorm& norm) {
  const int64_t columns = weight.columns;
  const bool in_runs = rounds_in_runs(weight);
  Input input{{x, x + tokens * columns}, {}, in_runs ? input_run(weight) : columns};
  if (norm.weight) normalise(input.values.data(), tokens, columns, norm);
  const int64_t runs = (columns + input.run - 1) / input.run;
  input.scale.assign(tokens * runs, 1.0);
  if (rounds_to_bf16(weight)) {
    for (float& value : input.values) value = bf16_to_f32(f32_to_bf16(value));
  }
  if (!weight.quantize_input && !in_runs) return input;
  const bool fp8 = weight.packed_bits == 0 && weight.type == DType::kF8E4M3;
  for (int64_t i = 0; i < tokens * runs; ++i) {
    const int64_t begin = i % runs * input.run;
    float* const values = input.values.data() + i / runs * columns + begin;
    const int64_t count = std::min(input.run, columns - begin);
    input.scale[i] = in_runs ? quantize_run(values, count) : quantize_token(values, count, fp8);
  }
  return input;
}

double dot(const float* a, const float* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

// Token t times a weight row.
double multiply(const Input& input, int64_t t, const std::vector<float>& row) {
  const auto columns = static_cast<int64_t>(row.size());
  const int64_t runs = (columns + input.run - 1) / input.run;
  double sum = 0;
  for (int64_t g = 0; g < runs; ++g) {
    const int64_t begin = g * input.run;
    const float* const values = input.values.data() + t * columns + begin;
    sum += dot(values, row.data() + begin, std::min(input.run, columns - begin)) *
           input.scale[t * runs + g];
  }
  return sum;
}

// x [tokens, columns] times weight, transposed: [tokens, rows].
std::vector<double> products(const float* x, int64_t tokens, const WeightView& weight,
                             const InputNorm& norm) {
  const Input input = prepare(x, tokens, weight, norm);
  std::vector<double> out(tokens * weight.rows);
  std::vector<float> row(weight.columns);
  for (int64_t r = 0; r < weight.rows; ++r) {
    decode_weight_row(weight, r, row.data());
    for (int64_t t = 0; t < tokens; ++t) out[t * weight.rows + r] = multiply(input, t, row);
  }
  return out;
}

}  // namespace

void matmul(BackendContext&, const MatmulArgs& args) {
  const int64_t rows = args.weight.rows;
  const int64_t stride = args.out_stride ? args.out_stride : rows;
  const std::vector<double> product = products(args.x, args.tokens, args.weight, args.norm);
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
  const std::vector<double> gate = products(args.x, args.tokens, args.gate, args.norm);
  const std::vector<double> up = products(args.x, args.tokens, args.up, args.norm);
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
                     .bias = args.bias[i],
                     .norm = args.norm});
  }
}

}  // namespace hone::ref
