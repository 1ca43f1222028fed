// Elementwise ops and the choice of rows.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/ref/ref_ops.h"

namespace hone::ref {

void unary(BackendContext&, const UnaryArgs& args) {
  for (int64_t i = 0; i < args.count; ++i) {
    args.out[i] = static_cast<float>(activate(args.activation, args.x[i]));
  }
}

void add(BackendContext&, const BinaryArgs& args) {
  for (int64_t i = 0; i < args.count; ++i) args.out[i] = args.a[i] + args.b[i];
}

void mul(BackendContext&, const BinaryArgs& args) {
  for (int64_t i = 0; i < args.count; ++i) args.out[i] = args.a[i] * args.b[i];
}

void add_bias(BackendContext&, const AddBiasArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    for (int64_t c = 0; c < args.dim; ++c) {
      args.out[r * args.dim + c] = args.x[r * args.dim + c] + args.bias[c];
    }
  }
}

void gated_activation(BackendContext&, const GatedActivationArgs& args) {
  for (int64_t i = 0; i < args.count; ++i) {
    const double value = activate(args.activation, args.gate[i]) * args.up[i];
    args.out[i] = static_cast<float>(value);
  }
}

void gather_rows(BackendContext&, const GatherRowsArgs& args) {
  for (int64_t r = 0; r < args.count; ++r) {
    CHECK(args.rows[r] >= 0);
    std::copy_n(args.x + args.rows[r] * args.dim, args.dim, args.out + r * args.dim);
  }
}

int32_t largest(const float* x, int64_t dim) {
  int64_t best = 0;
  bool ordered = true;  // neither NaN nor positive infinity
  bool finite = false;
  for (int64_t i = 0; i < dim; ++i) {
    ordered = ordered && x[i] < std::numeric_limits<float>::infinity();
    finite = finite || std::isfinite(x[i]);
    if (x[i] > x[best]) best = i;
  }
  return ordered && finite ? static_cast<int32_t>(best) : -1;
}

void argmax(BackendContext&, const ArgmaxArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) args.out[r] = largest(args.x + r * args.dim, args.dim);
}

}  // namespace hone::ref
