// Products of codes of 2 to 8 bits, stored densely.
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/int8_plain.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "hwy/highway.h"
#include "kernels/cpu/int8_kernels-inl.h"
#include "kernels/cpu/int8_product-inl.h"
#include "kernels/cpu/int8_unpack-inl.h"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {

namespace {

Int8Kernel choose_unpacked_kernel(const WeightView& w) {
#if HWY_TARGET == HWY_AVX3
  if (!has_vbmi()) return {};
  if (w.packed_bits == 3) return kInt8Kernel<UnpackedRows<3>>;
  if (w.packed_bits == 5) return kInt8Kernel<UnpackedRows<5>>;
  if (w.packed_bits == 6) return kInt8Kernel<UnpackedRows<6>>;
  if (w.packed_bits == 7) return kInt8Kernel<UnpackedRows<7>>;
#endif
  static_cast<void>(w);
  return {};
}

}  // namespace

Int8Kernel choose_plain_kernel(const WeightView& w, int64_t run) {
  const Int8Kernel kernel = choose_bits_kernel<AsStored>(w, run);
  return kernel.make ? kernel : choose_unpacked_kernel(w);
}

}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
