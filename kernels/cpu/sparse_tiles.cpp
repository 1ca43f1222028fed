#include "kernels/cpu/sparse_tiles.h"

#include <algorithm>
#include <cstring>

namespace hone::cpu {
namespace {

// Four nibbles to the low halves of four bytes.
uint32_t spread_nibbles(uint32_t four) {
  const uint32_t pairs = (four | four << 8) & 0x00ff00ff;
  return (pairs | pairs << 4) & 0x0f0f0f0f;
}

// Bytes of four fields of two bits: field i of byte j changes places with field j of byte i.
uint32_t turn_fields(uint32_t bytes) {
  const uint32_t ones = (bytes >> 6 ^ bytes) & 0x00cc00cc;
  bytes ^= ones ^ ones << 6;
  const uint32_t twos = (bytes >> 12 ^ bytes) & 0x0000f0f0;
  return bytes ^ twos ^ twos << 12;
}

// One row of a tile. codes, index: of its columns, as stored. to: the row's place in the tile.
void make_tile_row(const std::byte* codes, const std::byte* index, std::byte* to) {
  constexpr int64_t kVector = kTileRows * 4;
  for (int64_t v = 0; v < kTileCodes / kVector; ++v) {
    uint16_t eights[2];
    std::memcpy(eights, codes + 4 * v, sizeof eights);
    const uint32_t pairs = spread_nibbles(eights[0]) | spread_nibbles(eights[1]) << 4;
    std::memcpy(to + v * kVector, &pairs, sizeof pairs);
  }
  for (int64_t v = 0; v < kTilePositions / kVector; ++v) {
    uint32_t eights;
    std::memcpy(&eights, index + 4 * v, sizeof eights);
    const uint32_t positions = turn_fields(eights);
    std::memcpy(to + kTileCodes + v * kVector, &positions, sizeof positions);
  }
}

}  // namespace

bool can_be_sparse_tiles(const WeightView& w) {
  const bool codes = w.index && w.packed_bits == 4 && (w.quantize_input || rounds_in_runs(w));
  const bool halves = w.scale_type == DType::kF16 || w.scale_type == DType::kBF16;
  return codes && w.scales && halves && w.scale_rows == w.rows && w.group == kTileColumns &&
         w.columns % kTileColumns == 0 && !w.zeros;
}

int64_t tile_blocks(const WeightView& w) { return (w.rows + kTileRows - 1) / kTileRows; }

int64_t tile_block_bytes(const WeightView& w) { return w.columns / kTileColumns * kTileBytes; }

void make_tile_block(const WeightView& w, int64_t, int64_t block, std::byte* tiles) {
  const int64_t first = block * kTileRows;
  const int64_t rows = std::min(kTileRows, w.rows - first);
  const int64_t count = w.columns / kTileColumns;
  for (int64_t i = 0; i < count; ++i) {
    std::byte* const tile = tiles + (block * count + i) * kTileBytes;
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t row = first + r;
      const std::byte* const codes = w.payload + row * w.row_stride;
      const std::byte* const index = w.index + row * (w.columns / 8);
      make_tile_row(codes + i * kTileColumns / 4, index + i * kTileColumns / 8, tile + 4 * r);
      std::memcpy(tile + kTileCodes + kTilePositions + 2 * r, w.scales + 2 * (row * count + i), 2);
    }
  }
}

}  // namespace hone::cpu
