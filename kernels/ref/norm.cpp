// RMS norm and layer norm.
#include <vector>

#include "kernels/ref/ref_ops.h"

namespace hone::ref {
namespace {

// The row to normalise: x, or x + residual, which is rounded to f32 as `sum` stores it.
template <typename Args>
std::vector<float> input_row(const Args& args, int64_t row) {
  const int64_t first = row * args.dim;
  std::vector<float> values(args.x + first, args.x + first + args.dim);
  if (!args.residual) return values;
  for (int64_t i = 0; i < args.dim; ++i) values[i] += args.residual[first + i];
  if (args.sum) std::copy(values.begin(), values.end(), args.sum + first);
  return values;
}

}  // namespace

void rms_norm(BackendContext&, const RmsNormArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    const std::vector<float> row = input_row(args, r);
    double squares = 0;
    for (const float v : row) squares += static_cast<double>(v) * v;
    const double factor = 1 / std::sqrt(squares / static_cast<double>(args.dim) + args.eps);
    for (int64_t i = 0; i < args.dim; ++i) {
      args.out[r * args.dim + i] = static_cast<float>(row[i] * factor * args.weight[i]);
    }
  }
}

void layer_norm(BackendContext&, const LayerNormArgs& args) {
  const double dim = static_cast<double>(args.dim);
  for (int64_t r = 0; r < args.rows; ++r) {
    const std::vector<float> row = input_row(args, r);
    double mean = 0;
    for (const float v : row) mean += v / dim;
    double variance = 0;
    for (const float v : row) variance += (v - mean) * (v - mean) / dim;
    const double factor = 1 / std::sqrt(variance + args.eps);
    for (int64_t i = 0; i < args.dim; ++i) {
      const double bias = args.bias ? args.bias[i] : 0;
      const double value = (row[i] - mean) * factor * args.weight[i] + bias;
      args.out[r * args.dim + i] = static_cast<float>(value);
    }
  }
}

}  // namespace hone::ref
