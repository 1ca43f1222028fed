// WeightView::tiles of the CPU for dense matrices: their bytes once more, in the order in which
// vectors of all rows meet them. Memory is then one stream, front to back, whatever the format, and
// no product sums across a vector or turns rows, which takes a third of the instructions.
//
// As many rows as a vector has lanes are a band; a band's columns are cut into units: of integers a
// run (input_run of tensor_view.h), or a block as GGUF stores it; of BF16 and F16 a column. A tile
// is the same unit of all rows of a band, its words of 32 bits as a row stores them, then what
// 16-bit numbers it has:
//
//   words   [words][lanes]    of a run: its codes, and its scale if that has 32 bits
//   halves  [halves][lanes]   of a run: its scale if that has 16 bits, and its zero point, signed,
//                             if it has one; of a block: its scale; of a column: its element
//
// But for Q6_K, whose words come in the order in which they are met, or memory would be no stream:
//
//   d (in 32 bits)   scales [4]   of each half of the block: high pairs 0, nibbles 0, high pairs 1,
//   nibbles 1 ... high pairs 7, nibbles 7, nibbles 8 to 15
//
// Tiles of a band come one after the other, in the order of columns; bands in the order of rows,
// the last one filled with zeros.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/targets.h"
// After targets.h.
#include "hwy/detect_targets.h"
#include "kernels/tensor_view.h"

namespace hone::cpu {

// Rows of a band for the instructions of a target of Highway; 0: it has no tiles.
constexpr int64_t tile_lanes(int64_t target) {
  if (target == HWY_SCALAR || target == HWY_EMU128) return 0;
  return target == HWY_AVX3 ? 16 : target == HWY_AVX2 ? 8 : 4;
}

constexpr int64_t kQ6_KScales = 1;
constexpr int64_t kQ6_KHalves = 5;
constexpr int64_t kQ6_KHalfWords = 24;

struct TileShape {
  int64_t columns = 0;  // of a unit; 0: the storage has no tiles
  int64_t words = 0;
  int64_t halves = 0;

  int64_t tile_bytes(int64_t lanes) const { return lanes * (words * 4 + halves * 2); }
};

TileShape tile_shape(const WeightView& w);

// Products of integers read tiles, and those of BF16 or F16 with floats.
inline bool can_be_tiled(const WeightView& w) {
  const bool rounds = w.quantize_input || rounds_in_runs(w);
  return (input_run(w) > 0 ? rounds : !rounds_to_bf16(w)) && tile_shape(w).columns > 0;
}

inline int64_t band_bytes(const WeightView& w, int64_t lanes) {
  const TileShape shape = tile_shape(w);
  return w.columns / shape.columns * shape.tile_bytes(lanes);
}
inline int64_t bands(const WeightView& w, int64_t lanes) { return (w.rows + lanes - 1) / lanes; }

// Fills one of the bands of WeightView::tiles, which are zeros before.
void make_band(const WeightView& w, int64_t lanes, int64_t band, std::byte* tiles);

}  // namespace hone::cpu
