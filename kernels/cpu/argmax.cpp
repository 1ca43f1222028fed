// The likeliest token of each row of logits; rows in parallel.
#include <cmath>
#include <limits>

#include "kernels/cpu/cpu_ops.h"

namespace hone::cpu {
namespace {

int32_t largest(const float* x, int64_t dim) {
  int64_t best = 0;
  bool finite = false;
  for (int64_t i = 0; i < dim; ++i) {
    if (!(x[i] < std::numeric_limits<float>::infinity())) return -1;
    finite = finite || std::isfinite(x[i]);
    if (x[i] > x[best]) best = i;
  }
  return finite ? static_cast<int32_t>(best) : -1;
}

void argmax(BackendContext& opaque, const ArgmaxArgs& args) {
  own(opaque).pool.parallel_for(args.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      args.out[r] = largest(args.x + r * args.dim, args.dim);
    }
  });
}

}  // namespace

void (*choose_argmax())(BackendContext&, const ArgmaxArgs&) { return &argmax; }

}  // namespace hone::cpu
