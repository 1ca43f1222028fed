// Products of the block formats of GGUF.
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/int8_block.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "hwy/highway.h"
#include "kernels/cpu/int8_blocks-inl.h"
#include "kernels/cpu/int8_kernels-inl.h"
#include "kernels/cpu/int8_one_blocks-inl.h"
#include "kernels/cpu/int8_product-inl.h"
#include "kernels/cpu/int8_super_blocks-inl.h"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {

Int8Kernel choose_block_kernel(const WeightView& w) {
  switch (w.type) {
    case DType::kQ8_0:
      return kInt8Kernel<BlockRows<Q8_0Format>>;
    case DType::kQ4_0:
      return kInt8Kernel<BlockRows<Q4_0Format>>;
    case DType::kQ4_1:
      return kInt8Kernel<BlockRows<Q4_1Format>>;
    case DType::kQ5_0:
      return kInt8Kernel<BlockRows<Q5_0Format>>;
    case DType::kQ5_1:
      return kInt8Kernel<BlockRows<Q5_1Format>>;
    case DType::kIQ4_NL:
      return kInt8Kernel<BlockRows<IQ4_NLFormat>>;
    case DType::kMXFP4:
      return kInt8Kernel<BlockRows<MXFP4Format>>;
    case DType::kIQ4_XS:
      return kInt8Kernel<SuperBlockRows<IQ4_XSFormat>>;
    case DType::kQ4_K:
      return kInt8Kernel<SuperBlockRows<SixBitFormat<BlockQ4_K>>>;
    case DType::kQ5_K:
      return kInt8Kernel<SuperBlockRows<SixBitFormat<BlockQ5_K>>>;
    case DType::kQ6_K:
      return kInt8Kernel<SuperBlockRows<Q6_KFormat>>;
    default:
      return {};
  }
}

}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
