// The conversions that placing weights takes from kernels/cpu, element by element, for the check on
// a machine that has the CUDA toolkit and no Highway.
#include "kernels/codec/codec.h"
#include "kernels/convert.h"

namespace hone {

void widen_row(DType type, const std::byte* row, int64_t count, float* out) {
  decode_row(type, row, count, out);
}

void narrow_row(DType type, const float* values, int64_t count, std::byte* out) {
  encode_row(type, values, count, out);
}

}  // namespace hone
