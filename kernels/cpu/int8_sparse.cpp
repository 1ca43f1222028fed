// Products of codes that are stored sparsely: 2:4, or by a bitmask.
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/int8_sparse.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "hwy/highway.h"
#include "kernels/cpu/int8_bitmask-inl.h"
#include "kernels/cpu/int8_kernels-inl.h"
#include "kernels/cpu/int8_product-inl.h"
#include "kernels/cpu/int8_sparse-inl.h"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {

Int8Kernel choose_sparse_kernel(const WeightView& w) {
#if HWY_TARGET == HWY_AVX3
  if (w.tiles) return kInt8Kernel<SparseTiles>;
  if (!SparseRows<8, true>::suits(w)) return {};
  if (w.packed_bits == 0 && w.type == DType::kI8) return kInt8Kernel<SparseRows<8, true>>;
  if (w.packed_bits == 8) return kInt8Kernel<SparseRows<8, false>>;
  if (w.packed_bits == 4) return kInt8Kernel<SparseRows<4, false>>;
#endif
  static_cast<void>(w);
  return {};
}

Int8Kernel choose_bitmask_kernel(const WeightView& w) {
#if HWY_TARGET == HWY_AVX3
  if (!BitmaskRows<true>::suits(w)) return {};
  if (w.packed_bits == 0 && w.type == DType::kI8) return kInt8Kernel<BitmaskRows<true>>;
  if (w.packed_bits == 8) return kInt8Kernel<BitmaskRows<false>>;
#endif
  static_cast<void>(w);
  return {};
}

}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
