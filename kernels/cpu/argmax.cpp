// The likeliest token of each row of logits; rows in parallel.
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/largest.h"

namespace hone::cpu {
namespace {

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
