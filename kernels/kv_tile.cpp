#include "kernels/kv_tile.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/check.h"
#include "kernels/codec/codec.h"

namespace hone {
namespace {

struct TypeName {
  DType type;
  std::string_view name;
};
constexpr TypeName kNames[] = {
    {DType::kF32, "f32"}, {DType::kF16, "f16"}, {DType::kBF16, "bf16"}, {DType::kI8, "int8"}};

// A bounded piece of a vector, in bytes of any type.
constexpr int64_t kPiece = 64;

float scale_of(const float* vector, int64_t count) {
  float largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (!std::isfinite(vector[i])) return std::numeric_limits<float>::quiet_NaN();
    largest = std::max(largest, std::abs(vector[i]));
  }
  return largest / 127;
}

void encode_integers(const float* vector, int64_t count, float scale, std::byte* out) {
  // A scale below 2^-126 would make the quotient infinite: such a vector is zero to any purpose.
  const float inverse = scale >= std::numeric_limits<float>::min() ? 1 / scale : 0;
  for (int64_t i = 0; i < count; ++i) {
    const float rounded = std::nearbyint(vector[i] * inverse);
    out[i] = static_cast<std::byte>(static_cast<int8_t>(std::clamp(rounded, -127.0f, 127.0f)));
  }
}

std::byte* scale_place(DType type, int64_t head_dim, int64_t slot, std::byte* tile) {
  return tile + kv_elements_bytes(type, head_dim) + slot * static_cast<int64_t>(sizeof(float));
}

float store_scale(const float* vector, int64_t head_dim, int64_t slot, std::byte* tile) {
  const float scale = scale_of(vector, head_dim);
  std::memcpy(scale_place(DType::kI8, head_dim, slot, tile), &scale, sizeof scale);
  return std::isnan(scale) ? 0 : scale;
}

// Elements come at `place`, `step` elements apart.
void encode(DType type, const float* vector, int64_t head_dim, float scale, std::byte* place,
            int64_t step) {
  const int64_t size = info(type).block_bytes;
  std::byte piece[kPiece * sizeof(float)];
  for (int64_t begin = 0; begin < head_dim; begin += kPiece) {
    const int64_t count = std::min(kPiece, head_dim - begin);
    if (type == DType::kI8) {
      encode_integers(vector + begin, count, scale, piece);
    } else {
      encode_row(type, vector + begin, count, piece);
    }
    for (int64_t i = 0; i < count; ++i) {
      std::memcpy(place + (begin + i) * step * size, piece + i * size, static_cast<size_t>(size));
    }
  }
}

void decode(DType type, const std::byte* place, int64_t head_dim, int64_t step, float scale,
            float* vector) {
  const int64_t size = info(type).block_bytes;
  for (int64_t i = 0; i < head_dim; ++i) {
    decode_row(type, place + i * step * size, 1, vector + i);
    vector[i] *= scale;
  }
}

float load_scale(DType type, const std::byte* tile, int64_t head_dim, int64_t slot) {
  float scale = 1;
  if (type == DType::kI8) {
    std::memcpy(&scale, scale_place(type, head_dim, slot, const_cast<std::byte*>(tile)),
                sizeof scale);
  }
  return scale;
}

}  // namespace

std::optional<DType> kv_type_from_name(std::string_view name) {
  for (const TypeName& row : kNames) {
    if (row.name == name) return row.type;
  }
  return std::nullopt;
}

std::string_view kv_type_name(DType type) {
  const auto* row = std::find_if(std::begin(kNames), std::end(kNames),
                                 [&](const TypeName& r) { return r.type == type; });
  CHECK(row != std::end(kNames));
  return row->name;
}

void encode_key(DType type, const float* vector, int64_t head_dim, int64_t slot, std::byte* tile) {
  const float scale = type == DType::kI8 ? store_scale(vector, head_dim, slot, tile) : 1;
  encode(type, vector, head_dim, scale, tile + slot * info(type).block_bytes, kKvTile);
}

void encode_value(DType type, const float* vector, int64_t head_dim, int64_t slot,
                  std::byte* tile) {
  const float scale = type == DType::kI8 ? store_scale(vector, head_dim, slot, tile) : 1;
  encode(type, vector, head_dim, scale, tile + slot * kv_width(head_dim) * info(type).block_bytes,
         1);
}

void decode_key(DType type, const std::byte* tile, int64_t head_dim, int64_t slot, float* vector) {
  decode(type, tile + slot * info(type).block_bytes, head_dim, kKvTile,
         load_scale(type, tile, head_dim, slot), vector);
}

void decode_value(DType type, const std::byte* tile, int64_t head_dim, int64_t slot,
                  float* vector) {
  decode(type, tile + slot * kv_width(head_dim) * info(type).block_bytes, head_dim, 1,
         load_scale(type, tile, head_dim, slot), vector);
}

}  // namespace hone
