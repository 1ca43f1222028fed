// Products of integers that also lie in tiles.
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/int8_tiles.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "hwy/highway.h"
#include "kernels/cpu/int8_kernels-inl.h"
#include "kernels/cpu/int8_product-inl.h"
#include "kernels/cpu/int8_tiles-inl.h"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {

namespace {

Int8Kernel choose_block_tiles(DType type) {
  switch (type) {
    case DType::kQ8_0:
      return kInt8Kernel<SmallBlockTiles<PlainRows<8, true, kKindOfBytes>>>;
    case DType::kQ4_0:
      return kInt8Kernel<SmallBlockTiles<PlainRows<4, false>>>;
    case DType::kQ4_K:
      return kInt8Kernel<SuperBlockTiles<SixBitFormat<BlockQ4_K>, Q4_KPlaces>>;
    case DType::kQ5_K:
      return kInt8Kernel<SuperBlockTiles<SixBitFormat<BlockQ5_K>, Q5_KPlaces>>;
    case DType::kQ6_K:
      return kInt8Kernel<SuperBlockTiles<Q6_KFormat, Q6_KPlaces>>;
    default:
      return {};
  }
}

}  // namespace

Int8Kernel choose_tile_kernel(const WeightView& w) {
  if (is_block(w.type)) return choose_block_tiles(w.type);
  return choose_bits_kernel<PlainTiles>(w, input_run(w));
}

}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
