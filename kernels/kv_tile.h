// How keys and values lie in a cache, and the definition of its element types: F32, F16, BF16, I8.
//
// A cache is [sequences, kv_heads, capacity / kKvTile] tiles; a tile holds kKvTile neighbouring
// positions of one head. Keys are turned inside their tile, values are rows:
//
//            keys: element by position           values: position by element
//          p0  p1  p2 ..  p15                    e0  e1  e2 ..  e(width-1)
//      e0  .   .   .      .                  p0  .   .   .      .
//      e1  .   .   .      .                  p1  .   .   .      .
//      ..                                    ..
//      e(head_dim-1)      .                  p15 .   .   .      .
//      [scales: 16 f32, I8 only]             [scales: 16 f32, I8 only]
//
// So one vector of keys times one element of a query adds to 16 scores, and one vector of values
// times one weight adds to 16 outputs: neither sum ever crosses the lanes of a vector. A row of
// values is padded to whole vectors (kv_width); padding is never read into a result. Both kinds of
// tile have the same size, a multiple of 64 bytes.
//
// I8: x = scale * integer, with one scale for each head vector, largest magnitude / 127, so that
// the products are of integers and a scale meets a sum once. A vector that holds a NaN or an
// infinity gets the scale NaN: it has no integers, and must not pass for numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "kernels/dtype.h"

namespace hone {

inline constexpr int64_t kKvTile = 16;  // f32 lanes of the widest vectors

// Capacities are multiples of a tile.
constexpr int64_t kv_capacity(int64_t positions) {
  return (positions + kKvTile - 1) / kKvTile * kKvTile;
}

// Elements of a stored row of values.
constexpr int64_t kv_width(int64_t head_dim) { return (head_dim + 15) / 16 * 16; }

constexpr int64_t kv_elements_bytes(DType type, int64_t head_dim) {
  return kKvTile * kv_width(head_dim) * info(type).block_bytes;
}

constexpr int64_t kv_tile_bytes(DType type, int64_t head_dim) {
  const int64_t scales = type == DType::kI8 ? kKvTile * static_cast<int64_t>(sizeof(float)) : 0;
  return kv_elements_bytes(type, head_dim) + scales;
}

// Bytes of one head vector, without padding: what must be read to use it.
constexpr int64_t kv_vector_bytes(DType type, int64_t head_dim) {
  const int64_t scale = type == DType::kI8 ? static_cast<int64_t>(sizeof(float)) : 0;
  return head_dim * info(type).block_bytes + scale;
}

// Byte offset of the tile of `position`; row = sequence * kv_heads + kv_head.
constexpr int64_t kv_tile_offset(DType type, int64_t head_dim, int64_t capacity, int64_t row,
                                 int64_t position) {
  return (row * (capacity / kKvTile) + position / kKvTile) * kv_tile_bytes(type, head_dim);
}

// Element types of a cache: "f32", "f16", "bf16", "int8"; nullopt for another word.
std::optional<DType> kv_type_from_name(std::string_view name);
std::string_view kv_type_name(DType type);

// Writes one head vector into slot [0, kKvTile) of its tile, rounded to the type. vector:
// [head_dim].
void encode_key(DType type, const float* vector, int64_t head_dim, int64_t slot, std::byte* tile);
void encode_value(DType type, const float* vector, int64_t head_dim, int64_t slot, std::byte* tile);

// What encode left there.
void decode_key(DType type, const std::byte* tile, int64_t head_dim, int64_t slot, float* vector);
void decode_value(DType type, const std::byte* tile, int64_t head_dim, int64_t slot, float* vector);

}  // namespace hone
