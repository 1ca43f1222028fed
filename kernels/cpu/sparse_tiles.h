// WeightView::tiles of the CPU: 2:4 integers of four bits in the order in which one to a few tokens
// meet them. Many tokens read the matrix as it is stored.
//
// A tile is kTileRows rows times kTileColumns columns. Eight neighbouring columns keep four codes,
// which are a row's four bytes in a vector of all rows; so a product needs no sum across a vector,
// one shuffle picks the activations of all rows from eight, and memory is read front to back.
//
//   codes      [8][kTileRows][4]   byte i: kept code i of columns 16v .. 16v + 7 in the low nibble,
//                                  of the eight that follow in the high one
//   positions  [4][kTileRows][4]   byte i: of kept code i in its quadruple, two bits for each of
//                                  four eights, the first in the lowest ones
//   scales     [kTileRows]         of 16 bits, as stored
//
// Tiles of the same rows come one after the other, in the order of columns.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/tensor_view.h"

namespace hone::cpu {

constexpr int64_t kTileRows = 16;
constexpr int64_t kTileColumns = 128;
constexpr int64_t kTileCodes = kTileRows * kTileColumns / 4;      // bytes
constexpr int64_t kTilePositions = kTileRows * kTileColumns / 8;  // bytes
constexpr int64_t kTileScales = kTileRows * 2;                    // bytes
constexpr int64_t kTileBytes = kTileCodes + kTilePositions + kTileScales;

// Where each tile has a scale of 16 bits for a row.
bool can_be_sparse_tiles(const WeightView& w);
int64_t tile_blocks(const WeightView& w);  // of kTileRows rows; the last is filled with zeros
int64_t tile_block_bytes(const WeightView& w);
// Fills one of the blocks of WeightView::tiles, which are zeros before.
void make_tile_block(const WeightView& w, int64_t lanes, int64_t block, std::byte* tiles);

}  // namespace hone::cpu
