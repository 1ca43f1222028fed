// Value types shared by both back ends: 16-bit floats, packed vectors, launch extents.
// They need neither the CUDA headers nor compiler half types, so kernels and tests build anywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define SIMT_HD __host__ __device__ __forceinline__
#else
#define SIMT_HD inline
#endif

namespace hone::simt {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};

// Shared memory that a block may have unasked, static and dynamic together. launch() asks for more
// where the dynamic alone is above the second: kernels have less than the difference in static
// memory.
inline constexpr size_t kSharedUnasked = 48 * 1024, kDynamicUnasked = 32 * 1024;

// Reinterprets the bits of a value (std::bit_cast that is also callable on the device). By value:
// given a reference, nvcc forgets its alignment and reads memory byte by byte.
template <class To, class From>
SIMT_HD To bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

namespace detail {
SIMT_HD uint16_t float_to_bf16(float f) {
#ifdef __CUDA_ARCH__
  return __bfloat16_as_ushort(__float2bfloat16_rn(f));
#else
  const auto u = bits<uint32_t>(f);
  if ((u & 0x7fffffff) > 0x7f800000) return 0x7fff;                    // NaN, as the GPU writes it
  return static_cast<uint16_t>((u + 0x7fff + ((u >> 16) & 1)) >> 16);  // nearest, ties to even
#endif
}

SIMT_HD uint16_t float_to_f16(float f) {
#ifdef __CUDA_ARCH__
  return __half_as_ushort(__float2half_rn(f));
#else
  const auto u = bits<uint32_t>(f);
  const uint32_t sign = (u >> 16) & 0x8000, mag = u & 0x7fffffff;
  if (mag > 0x7f800000) return 0x7fff;
  if (mag >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);  // rounds past 65504
  if (mag < 0x38800000)  // subnormal: adding 0.5 lets the FPU align and round the last bit
    return static_cast<uint16_t>(sign | (bits<uint32_t>(bits<float>(mag) + 0.5f) - 0x3f000000));
  return static_cast<uint16_t>(sign | ((mag - 0x38000000 + 0xfff + ((mag >> 13) & 1)) >> 13));
#endif
}

SIMT_HD float f16_to_float(uint16_t h) {
#ifdef __CUDA_ARCH__
  return __half2float(__ushort_as_half(h));
#else
  const uint32_t sign = (h & 0x8000u) << 16, mag = h & 0x7fffu;
  if (mag >= 0x7c00) return bits<float>(sign | 0x7f800000 | (mag << 13));
  if (mag >= 0x0400) return bits<float>(sign | ((mag << 13) + 0x38000000));
  const float subnormal = static_cast<float>(mag) * 0x1p-24f;
  return sign ? -subnormal : subnormal;
#endif
}
}  // namespace detail

// bfloat16 and IEEE half storage. Arithmetic is done in float; conversions are explicit.
struct bf16 {
  uint16_t raw;
  bf16() = default;
  SIMT_HD explicit bf16(float f) : raw(detail::float_to_bf16(f)) {}
  SIMT_HD explicit operator float() const { return bits<float>(static_cast<uint32_t>(raw) << 16); }
};

struct f16 {
  uint16_t raw;
  f16() = default;
  SIMT_HD explicit f16(float f) : raw(detail::float_to_f16(f)) {}
  SIMT_HD explicit operator float() const { return detail::f16_to_float(raw); }
};

// N elements moved as one aligned access when it is 2, 4, 8 or 16 bytes.
template <class T, int N>
struct alignas(sizeof(T) * N) Vec {
  T v[N];
  SIMT_HD T& operator[](int i) { return v[i]; }
  SIMT_HD const T& operator[](int i) const { return v[i]; }
};

}  // namespace hone::simt
