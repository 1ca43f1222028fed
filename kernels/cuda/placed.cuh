// Reading placed weights (weights.h): words of elements as floats, exactly.
#pragma once

#include "kernels/check.h"
#include "kernels/cuda/cuda_ops.h"

namespace hone::cuda {

// The forms that weights.h knows.
enum class PlacedForm { kF32, kF16, kBF16, kI8, kI4, kF8 };

inline PlacedForm placed_form(const WeightView& placed) {
  if (placed.packed_bits == 4) return PlacedForm::kI4;
  switch (placed.type) {
    case DType::kF16:
      return PlacedForm::kF16;
    case DType::kBF16:
      return PlacedForm::kBF16;
    case DType::kI8:
      return PlacedForm::kI8;
    case DType::kF8E4M3:
      return PlacedForm::kF8;
    default:
      CHECK(placed.type == DType::kF32);
      return PlacedForm::kF32;
  }
}

constexpr bool has_scales(PlacedForm form) { return form >= PlacedForm::kI8; }
// Elements of a 32-bit word; of a 16-bit form: two.
constexpr int word_elements(PlacedForm form) {
  return form == PlacedForm::kI4 ? 8 : has_scales(form) ? 4 : form == PlacedForm::kF32 ? 1 : 2;
}
// Units of 64 columns that a segment of 64 bytes of a 2:4 row stands for.
constexpr unsigned index_units(PlacedForm form) {
  return form == PlacedForm::kI4 ? 4 : has_scales(form) ? 2 : 1;
}

// With a code u in its low bits this is the float 2^23 + u: integers become floats without the slow
// conversion instruction.
inline constexpr uint32_t kMagic = 0x4b000000u;
inline constexpr float kMagicValue = 0x1p23f;

// An E4M3 number as a float: its fields in those of a float make it too small by 2^120, also where
// it is subnormal.
__device__ __forceinline__ float fp8_value(uint32_t code) {
  const float tiny = simt::bits<float>((code & 0x7fu) << 20);
  const float magnitude =
      (code & 0x7fu) == 0x7fu ? simt::bits<float>(0x7fc00000u) : tiny * 0x1p120f;
  return code & 0x80u ? -magnitude : magnitude;
}

// The elements of a word, before zero point and scale.
template <PlacedForm kForm>
__device__ __forceinline__ void decode_word(uint32_t word, float (&out)[word_elements(kForm)]) {
  if constexpr (kForm == PlacedForm::kI4) {
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      out[e] = simt::bits<float>(kMagic | (word >> 4 * e & 15u)) - (kMagicValue + 8);
    }
  } else if constexpr (kForm == PlacedForm::kI8) {
    const uint32_t codes = word ^ 0x80808080u;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      out[e] = simt::bits<float>(kMagic | (codes >> 8 * e & 255u)) - (kMagicValue + 128);
    }
  } else if constexpr (kForm == PlacedForm::kF8) {
#pragma unroll
    for (int e = 0; e < 4; ++e) out[e] = fp8_value(word >> 8 * e & 255u);
  } else if constexpr (kForm == PlacedForm::kF16) {
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      out[e] = simt::detail::f16_to_float(static_cast<uint16_t>(word >> 16 * e));
    }
  } else if constexpr (kForm == PlacedForm::kBF16) {
    out[0] = simt::bits<float>(word << 16);
    out[1] = simt::bits<float>(word & 0xffff0000u);
  } else {
    out[0] = simt::bits<float>(word);
  }
}

// In rows of scaled forms, chunk i of 16 bytes has words whose first columns are these.
template <PlacedForm kForm>
__device__ __forceinline__ int64_t column_of_word(int64_t chunk, int j) {
  constexpr int kElements = word_elements(kForm);
  return (chunk / 4 * 16 + 4 * j + chunk % 4) * kElements;
}

// Scales and zero points of a placed matrix.
struct Scales {
  const std::byte* scales;
  const int8_t* zeros;  // or null
  int64_t groups;       // a row
  uint32_t group;
  uint32_t type;  // a DType; no byte here is padding, which kernel arguments should not have

  __device__ __forceinline__ int64_t index(int64_t row, int64_t column) const {
    return row * groups + static_cast<uint32_t>(column) / group;
  }
  __device__ __forceinline__ float scale(int64_t row, int64_t column) const {
    const int64_t i = index(row, column);
    if (type == static_cast<uint32_t>(DType::kF32))
      return reinterpret_cast<const float*>(scales)[i];
    const uint16_t raw = reinterpret_cast<const uint16_t*>(scales)[i];
    if (type == static_cast<uint32_t>(DType::kF16)) return simt::detail::f16_to_float(raw);
    return simt::bits<float>(static_cast<uint32_t>(raw) << 16);
  }
  __device__ __forceinline__ float zero(int64_t row, int64_t column) const {
    return zeros ? static_cast<float>(zeros[index(row, column)]) : 0.0f;
  }
};

inline Scales scales_of(const WeightView& w) {
  return {w.scales, w.zeros, w.group ? w.columns / w.group : 0, static_cast<uint32_t>(w.group),
          static_cast<uint32_t>(w.scale_type)};
}

}  // namespace hone::cuda
