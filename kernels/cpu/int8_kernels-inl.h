// Which product of integers there is for a storage: per target, one unit for each kind of storage.
// Compiled per target.
#if defined(HONE_CPU_INT8_KERNELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_KERNELS_INL_H_
#undef HONE_CPU_INT8_KERNELS_INL_H_
#else
#define HONE_CPU_INT8_KERNELS_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/cpu/int8_product.h"
#include "kernels/tensor_view.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR
inline Int8Kernel choose_int8_kernel(const WeightView&) { return {}; }
#else
Int8Kernel choose_plain_kernel(const WeightView& w, int64_t run);  // int8_plain.cpp
Int8Kernel choose_block_kernel(const WeightView& w);               // int8_block.cpp
Int8Kernel choose_sparse_kernel(const WeightView& w);              // int8_sparse.cpp
Int8Kernel choose_bitmask_kernel(const WeightView& w);             // int8_sparse.cpp
Int8Kernel choose_tile_kernel(const WeightView& w);                // int8_tiles.cpp

inline Int8Kernel choose_int8_kernel(const WeightView& w) {
  const int64_t run = input_run(w);
  if (run == 0) return {};
  if (w.mask) return choose_bitmask_kernel(w);
  if (w.index) return choose_sparse_kernel(w);
  if (w.tiles) return choose_tile_kernel(w);
  return is_block(w.type) ? choose_block_kernel(w) : choose_plain_kernel(w, run);
}
#endif

}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
