// The conversions between float and the narrower float types, one value a call. Loops over rows
// (rows.cpp) use the inline bodies in narrow_float.h directly.
#include "kernels/codec/codec.h"
#include "kernels/codec/narrow_float.h"

namespace hone {

float f16_to_f32(uint16_t bits) { return widen_f16(bits); }
uint16_t f32_to_f16(float value) { return narrow_f16(value); }
uint16_t f32_to_bf16(float value) { return narrow_bf16(value); }
float f8e4m3_to_f32(uint8_t bits) { return widen_f8e4m3(bits); }
uint8_t f32_to_f8e4m3(float value) { return narrow_f8e4m3(value); }
float f8e5m2_to_f32(uint8_t bits) { return widen_f8e5m2(bits); }

}  // namespace hone
