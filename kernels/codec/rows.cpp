// Whole rows of any element type to floats and back: one loop per kind of type. Rows may start at
// any byte, so elements are copied out before they are read.
#include <cstring>

#include "kernels/check.h"
#include "kernels/codec/blocks.h"
#include "kernels/codec/codec.h"
#include "kernels/codec/narrow_float.h"

namespace hone {
namespace {

template <typename T, typename Convert>
void decode_scalars(const std::byte* row, int64_t count, float* out, Convert convert) {
  for (int64_t i = 0; i < count; ++i) {
    T element;
    std::memcpy(&element, row + i * static_cast<int64_t>(sizeof element), sizeof element);
    out[i] = convert(element);
  }
}

// Numbers the language converts by itself, to the nearest float.
template <typename T>
void decode_numbers(const std::byte* row, int64_t count, float* out) {
  decode_scalars<T>(row, count, out, [](T element) { return static_cast<float>(element); });
}

template <typename T, typename Convert>
void encode_scalars(const float* values, int64_t count, std::byte* out, Convert convert) {
  for (int64_t i = 0; i < count; ++i) {
    const T element = convert(values[i]);
    std::memcpy(out + i * static_cast<int64_t>(sizeof element), &element, sizeof element);
  }
}

template <typename Block>
void decode_blocks(const std::byte* row, int64_t blocks, int64_t elements, float* out) {
  for (int64_t i = 0; i < blocks; ++i) {
    Block block;
    std::memcpy(&block, row + i * static_cast<int64_t>(sizeof block), sizeof block);
    decode_block(block, out + i * elements);
  }
}

template <typename Block>
void encode_blocks(const float* values, int64_t blocks, int64_t elements, std::byte* out) {
  for (int64_t i = 0; i < blocks; ++i) {
    Block block;
    encode_block(values + i * elements, block);
    std::memcpy(out + i * static_cast<int64_t>(sizeof block), &block, sizeof block);
  }
}

int64_t whole_blocks(DType type, int64_t count) {
  CHECK(count >= 0 && count % info(type).block_elements == 0);
  return count / info(type).block_elements;
}

}  // namespace

void decode_row(DType type, const std::byte* row, int64_t count, float* out) {
  const int64_t blocks = whole_blocks(type, count);
  const int64_t elements = info(type).block_elements;
  switch (type) {
    case DType::kF64:
      return decode_numbers<double>(row, count, out);
    case DType::kF32:
      return decode_numbers<float>(row, count, out);
    case DType::kF16:
      return decode_scalars<uint16_t>(row, count, out, widen_f16);
    case DType::kBF16:
      return decode_scalars<uint16_t>(row, count, out, bf16_to_f32);
    case DType::kF8E4M3:
      return decode_scalars<uint8_t>(row, count, out, widen_f8e4m3);
    case DType::kF8E5M2:
      return decode_scalars<uint8_t>(row, count, out, widen_f8e5m2);
    case DType::kI64:
      return decode_numbers<int64_t>(row, count, out);
    case DType::kI32:
      return decode_numbers<int32_t>(row, count, out);
    case DType::kI16:
      return decode_numbers<int16_t>(row, count, out);
    case DType::kI8:
      return decode_numbers<int8_t>(row, count, out);
    case DType::kU64:
      return decode_numbers<uint64_t>(row, count, out);
    case DType::kU32:
      return decode_numbers<uint32_t>(row, count, out);
    case DType::kU16:
      return decode_numbers<uint16_t>(row, count, out);
    case DType::kU8:
      return decode_numbers<uint8_t>(row, count, out);
    case DType::kBool:
      return decode_scalars<uint8_t>(row, count, out, [](uint8_t b) { return b ? 1.0f : 0.0f; });
#define X(name)        \
  case DType::k##name: \
    return decode_blocks<Block##name>(row, blocks, elements, out);
      FOR_EACH_FORMAT(X)
#undef X
  }
  CHECK(!"a DType without a decoder");
}

bool can_encode(DType type) {
  switch (type) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kF8E4M3:
    case DType::kQ8_0:
    case DType::kQ4_0:
    case DType::kQ4_1:
      return true;
    default:
      return false;
  }
}

void encode_row(DType type, const float* values, int64_t count, std::byte* out) {
  const int64_t blocks = whole_blocks(type, count);
  const int64_t elements = info(type).block_elements;
  switch (type) {
    case DType::kF32:
      return encode_scalars<float>(values, count, out, [](float value) { return value; });
    case DType::kF16:
      return encode_scalars<uint16_t>(values, count, out, narrow_f16);
    case DType::kBF16:
      return encode_scalars<uint16_t>(values, count, out, narrow_bf16);
    case DType::kF8E4M3:
      return encode_scalars<uint8_t>(values, count, out, narrow_f8e4m3);
    case DType::kQ8_0:
      return encode_blocks<BlockQ8_0>(values, blocks, elements, out);
    case DType::kQ4_0:
      return encode_blocks<BlockQ4_0>(values, blocks, elements, out);
    case DType::kQ4_1:
      return encode_blocks<BlockQ4_1>(values, blocks, elements, out);
    default:
      CHECK(!"a DType without an encoder");
  }
}

}  // namespace hone
