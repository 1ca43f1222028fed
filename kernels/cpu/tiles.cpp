#include "kernels/cpu/tiles.h"

#include <algorithm>
#include <cstring>

#include "kernels/formats.h"

namespace hone::cpu {
namespace {

// Where a block has its words and its 16-bit numbers.
struct BlockFields {
  TileShape shape;
  int64_t words_at = 0;
  int64_t halves_at = 0;
};

BlockFields block_fields(DType type) {
  switch (type) {
    case DType::kQ8_0:
      return {.shape = {.columns = 32, .words = 8, .halves = 1},
              .words_at = offsetof(BlockQ8_0, q),
              .halves_at = offsetof(BlockQ8_0, d)};
    case DType::kQ4_0:
      return {.shape = {.columns = 32, .words = 4, .halves = 1},
              .words_at = offsetof(BlockQ4_0, nibbles),
              .halves_at = offsetof(BlockQ4_0, d)};
    case DType::kQ4_K:
      return {.shape = {.columns = 256, .words = sizeof(BlockQ4_K) / 4}};
    case DType::kQ5_K:
      return {.shape = {.columns = 256, .words = sizeof(BlockQ5_K) / 4}};
    case DType::kQ6_K:
      return {.shape = {.columns = 256, .words = kQ6_KHalves + 2 * kQ6_KHalfWords}};
    default:
      return {};
  }
}

int element_bits(const WeightView& w) {
  if (w.packed_bits == 0) return w.type == DType::kI8 ? 8 : 0;
  return w.packed_bits;
}

TileShape run_shape(const WeightView& w) {
  const int64_t run = input_run(w);
  const int bits = element_bits(w);
  const bool whole_bytes = bits == 8 || bits == 4 || (bits == 2 && run >= 64);
  if (!whole_bytes || !w.scales || w.columns % run != 0) return {};
  const bool wide = w.scale_type == DType::kF32;
  return {.columns = run,
          .words = run * bits / 32 + (wide ? 1 : 0),
          .halves = (wide ? 0 : 1) + (w.zeros ? 1 : 0)};
}

// A unit of a row: where it lies in a tile, and how.
struct UnitPlace {
  std::byte* tile;
  int64_t row;  // in the band
  int64_t lanes;
  TileShape shape;

  void set_word(int64_t i, const std::byte* word) const {
    std::memcpy(tile + (i * lanes + row) * 4, word, 4);
  }
  void set_half(int64_t i, const std::byte* half) const {
    std::memcpy(tile + shape.words * lanes * 4 + (i * lanes + row) * 2, half, 2);
  }
};

void place_block(const WeightView& w, int64_t row, int64_t unit, const UnitPlace& to) {
  const BlockFields fields = block_fields(w.type);
  const std::byte* const block =
      w.payload + row * w.row_stride + row_bytes(w.type, unit * to.shape.columns);
  for (int64_t i = 0; i < to.shape.words; ++i) to.set_word(i, block + fields.words_at + 4 * i);
  for (int64_t i = 0; i < to.shape.halves; ++i) to.set_half(i, block + fields.halves_at + 2 * i);
}

void place_q6_k(const WeightView& w, int64_t row, int64_t unit, const UnitPlace& to) {
  const std::byte* const block = w.payload + row * w.row_stride + unit * int64_t{sizeof(BlockQ6_K)};
  std::byte d[4] = {};
  std::memcpy(d, block + offsetof(BlockQ6_K, d), 2);
  to.set_word(0, d);
  for (int64_t i = 0; i < 4; ++i) {
    to.set_word(kQ6_KScales + i, block + offsetof(BlockQ6_K, scales) + 4 * i);
  }
  for (int64_t half = 0; half < 2; ++half) {
    const int64_t first = kQ6_KHalves + half * kQ6_KHalfWords;
    const std::byte* const high = block + offsetof(BlockQ6_K, high_pairs) + 32 * half;
    const std::byte* const nibbles = block + offsetof(BlockQ6_K, nibbles) + 64 * half;
    for (int64_t i = 0; i < 8; ++i) {
      to.set_word(first + 2 * i, high + 4 * i);
      to.set_word(first + 2 * i + 1, nibbles + 4 * i);
      to.set_word(first + 16 + i, nibbles + 32 + 4 * i);
    }
  }
}

void place_run(const WeightView& w, int64_t row, int64_t unit, const UnitPlace& to) {
  const int64_t run = to.shape.columns;
  const int64_t codes = run * element_bits(w) / 32;
  const std::byte* const from = w.payload + row * w.row_stride + unit * codes * 4;
  for (int64_t i = 0; i < codes; ++i) to.set_word(i, from + 4 * i);
  const int64_t groups = w.columns / w.group;
  const int64_t group = unit * run / w.group;
  const int64_t at = (w.scale_rows == 1 ? 0 : row * groups) + group;
  const bool wide = w.scale_type == DType::kF32;
  if (wide) to.set_word(codes, w.scales + 4 * at);
  if (!wide) to.set_half(0, w.scales + 2 * at);
  if (!w.zeros) return;
  const int16_t zero = w.zeros[row * groups + group];
  to.set_half(wide ? 0 : 1, reinterpret_cast<const std::byte*>(&zero));
}

void place_column(const WeightView& w, int64_t row, int64_t unit, const UnitPlace& to) {
  to.set_half(0, w.payload + row * w.row_stride + 2 * unit);
}

// kPlace: one of the above.
template <auto kPlace>
void fill_band(const WeightView& w, int64_t lanes, int64_t band, std::byte* tiles) {
  const TileShape shape = tile_shape(w);
  const int64_t bytes = shape.tile_bytes(lanes);
  const int64_t units = w.columns / shape.columns;
  const int64_t first = band * lanes;
  const int64_t rows = std::min(lanes, w.rows - first);
  for (int64_t unit = 0; unit < units; ++unit) {
    std::byte* const tile = tiles + (band * units + unit) * bytes;
    for (int64_t row = 0; row < rows; ++row) {
      kPlace(w, first + row, unit, {.tile = tile, .row = row, .lanes = lanes, .shape = shape});
    }
  }
}

}  // namespace

TileShape tile_shape(const WeightView& w) {
  if (w.index || w.mask) return {};
  if (w.type == DType::kBF16 || w.type == DType::kF16) {
    return w.scales || w.columns % 2 != 0 ? TileShape() : TileShape{.columns = 1, .halves = 1};
  }
  if (input_run(w) == 0) return {};
  if (!is_block(w.type)) return run_shape(w);
  const TileShape shape = block_fields(w.type).shape;
  return shape.columns > 0 && w.columns % shape.columns == 0 ? shape : TileShape();
}

void make_band(const WeightView& w, int64_t lanes, int64_t band, std::byte* tiles) {
  if (w.type == DType::kQ6_K) return fill_band<place_q6_k>(w, lanes, band, tiles);
  if (is_block(w.type)) return fill_band<place_block>(w, lanes, band, tiles);
  if (input_run(w) > 0) return fill_band<place_run>(w, lanes, band, tiles);
  fill_band<place_column>(w, lanes, band, tiles);
}

}  // namespace hone::cpu
