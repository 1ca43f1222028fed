#include "libcommon/model/layout.h"

#include <algorithm>
#include <cstring>

#include "kernels/check.h"

namespace hone {
namespace {

constexpr int64_t kTile = 32;  // rows of the source a tile: its output lines stay in L1

template <typename Element>
void turn_elements(const Turn& turn, int64_t first, int64_t count, std::byte* out) {
  for (int64_t tile = 0; tile < turn.rows; tile += kTile) {
    const int64_t end = std::min(tile + kTile, turn.rows);
    for (int64_t c = 0; c < count; ++c) {
      for (int64_t r = tile; r < end; ++r) {
        std::memcpy(out + (c * turn.rows + r) * turn.element,
                    turn.in + (r * turn.columns + first + c) * turn.element, sizeof(Element));
      }
    }
  }
}

}  // namespace

int64_t source_row(const RowMove& move, int64_t row) {
  const int64_t dim = move.head_dim;
  switch (move.order) {
    case RowOrder::kSame:
      return row;
    case RowOrder::kQkvToHeads: {  // row = (head * 3 + part) * dim + i
      const int64_t head = row / (3 * dim);
      const int64_t part = row / dim % 3;
      return part * (move.rows / 3) + head * dim + row % dim;
    }
    case RowOrder::kHeadsToQkv: {  // row = part * heads * dim + head * dim + i
      const int64_t part = row / (move.rows / 3);
      const int64_t head = row % (move.rows / 3) / dim;
      return (head * 3 + part) * dim + row % dim;
    }
    case RowOrder::kToInterleaved: {  // row = head * dim + 2 j + half
      const int64_t in_head = row % dim;
      return row - in_head + in_head % 2 * (dim / 2) + in_head / 2;
    }
    case RowOrder::kToHalves: {  // row = head * dim + half * dim/2 + j
      const int64_t in_head = row % dim;
      return row - in_head + in_head % (dim / 2) * 2 + in_head / (dim / 2);
    }
  }
  CHECK(false);
  return 0;
}

void turn_rows(const Turn& turn, int64_t first, int64_t count, std::byte* out) {
  switch (turn.element) {
    case 1:
      return turn_elements<uint8_t>(turn, first, count, out);
    case 2:
      return turn_elements<uint16_t>(turn, first, count, out);
    case 4:
      return turn_elements<uint32_t>(turn, first, count, out);
    case 8:
      return turn_elements<uint64_t>(turn, first, count, out);
    default:
      CHECK(false);
  }
}

}  // namespace hone
