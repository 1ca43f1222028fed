// The largest of many elements, with its index: what a block finds of it.
#pragma once

#include "kernels/simt/device.h"

namespace hone::cuda {

// An element as a number that orders like (value, lowest index); a NaN and +infinity are above all
// others.
using LargestKey = unsigned long long;
constexpr LargestKey kRefusedKey = ~LargestKey{0};

__device__ __forceinline__ LargestKey largest_key(float value, int64_t index) {
  const auto raw = simt::bits<uint32_t>(value + 0.0f);  // -0 becomes 0: they are equal
  if ((raw & 0x7fffffffu) > 0x7f800000u || raw == 0x7f800000u) return kRefusedKey;
  const uint32_t ordered = raw >> 31 ? ~raw : raw | 0x80000000u;
  return LargestKey{ordered} << 32 | (0xffffffffu - static_cast<uint32_t>(index));
}

__device__ __forceinline__ bool is_finite(float value) {
  return (simt::bits<uint32_t>(value) & 0x7f800000u) != 0x7f800000u;
}

struct Largest {
  LargestKey key;
  LargestKey finite;  // not 0: a finite element was seen

  __device__ __forceinline__ void see(float value, int64_t index) {
    const LargestKey other = largest_key(value, index);
    key = other > key ? other : key;
    finite |= is_finite(value);
  }
  __device__ __forceinline__ bool valid() const { return key != kRefusedKey && finite != 0; }
  __device__ __forceinline__ int32_t index() const {
    return static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(key));
  }
  __device__ __forceinline__ float value() const {
    const auto ordered = static_cast<uint32_t>(key >> 32);
    return simt::bits<float>(ordered >> 31 ? ordered & 0x7fffffffu : ~ordered);
  }
};

// Over the block; thread 0 gets it.
__device__ __forceinline__ Largest reduce(Largest mine, Largest (&scratch)[simt::kWarpSize]) {
  const int lane = simt::lane_id();
  mine.key = simt::warp_max(mine.key);
  mine.finite = simt::warp_max(mine.finite);
  if (lane == 0) scratch[simt::warp_id()] = mine;
  simt::sync_block();
  if (simt::warp_id() != 0) return mine;
  mine = lane < static_cast<int>(blockDim.x) / simt::kWarpSize ? scratch[lane] : Largest{0, 0};
  mine.key = simt::warp_max(mine.key);
  mine.finite = simt::warp_max(mine.finite);
  return mine;
}

}  // namespace hone::cuda
