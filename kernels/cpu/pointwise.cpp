// Elementwise ops and the choice of rows.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/pointwise.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "hwy/highway.h"
#include "kernels/cpu/activation-inl.h"
#include "kernels/cpu/cpu_ops.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kRange = 16 * 1024;  // elements worth handing to a thread

}  // namespace

void unary(BackendContext& opaque, const UnaryArgs& args) {
  own(opaque).pool.parallel_for(args.count, kRange, [&](int64_t begin, int64_t end) {
    transform1(args.x + begin, args.out + begin, end - begin,
               [&args](auto d, auto v) { return activate(d, args.activation, v); });
  });
}

void add(BackendContext& opaque, const BinaryArgs& args) {
  own(opaque).pool.parallel_for(args.count, kRange, [&](int64_t begin, int64_t end) {
    transform2(args.a + begin, args.b + begin, args.out + begin, end - begin,
               [](auto, auto a, auto b) { return hn::Add(a, b); });
  });
}

void mul(BackendContext& opaque, const BinaryArgs& args) {
  own(opaque).pool.parallel_for(args.count, kRange, [&](int64_t begin, int64_t end) {
    transform2(args.a + begin, args.b + begin, args.out + begin, end - begin,
               [](auto, auto a, auto b) { return hn::Mul(a, b); });
  });
}

void add_bias(BackendContext& opaque, const AddBiasArgs& args) {
  const int64_t grain = std::max<int64_t>(1, kRange / std::max<int64_t>(1, args.dim));
  own(opaque).pool.parallel_for(args.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      transform2(args.x + r * args.dim, args.bias, args.out + r * args.dim, args.dim,
                 [](auto, auto a, auto b) { return hn::Add(a, b); });
    }
  });
}

void gated_activation(BackendContext& opaque, const GatedActivationArgs& args) {
  own(opaque).pool.parallel_for(args.count, kRange, [&](int64_t begin, int64_t end) {
    transform2(args.gate + begin, args.up + begin, args.out + begin, end - begin,
               [&args](auto d, auto gate, auto up) {
                 return hn::Mul(activate(d, args.activation, gate), up);
               });
  });
}

void gather_rows(BackendContext&, const GatherRowsArgs& args) {
  for (int64_t r = 0; r < args.count; ++r) {
    CHECK(args.rows[r] >= 0);
    std::copy_n(args.x + args.rows[r] * args.dim, args.dim, args.out + r * args.dim);
  }
}

}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::cpu {
HWY_EXPORT(unary);
HWY_EXPORT(add);
HWY_EXPORT(mul);
HWY_EXPORT(add_bias);
HWY_EXPORT(gated_activation);
HWY_EXPORT(gather_rows);
CHOOSE_OP(unary, UnaryArgs)
CHOOSE_OP(add, BinaryArgs)
CHOOSE_OP(mul, BinaryArgs)
CHOOSE_OP(add_bias, AddBiasArgs)
CHOOSE_OP(gated_activation, GatedActivationArgs)
CHOOSE_OP(gather_rows, GatherRowsArgs)
}  // namespace hone::cpu
#endif
