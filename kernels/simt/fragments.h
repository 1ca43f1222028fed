// Which matrix element each lane's registers hold in mma.sync, as the PTX ISA tabulates it.
// One rule covers every m16n8 shape: with R = 32 / element bits elements to a register, the
// shape is m16n8k(8R). Used by the emulator and by its conformance test, never by kernels.
#pragma once

namespace hone::simt::fragment {

struct At {
  int row, col;
};

// A is 16 x 8R: register r in [0, 4), element e in [0, R) of `lane`.
constexpr At a(int R, int lane, int r, int e) {
  return {lane / 4 + 8 * (r & 1), R * (lane % 4) + e + 4 * R * (r >> 1)};
}
// B is 8R x 8 (16R x 8 when A is sparse): register r in [0, 2) or [0, 4); row is k, col is n.
constexpr At b(int R, int lane, int r, int e) { return {R * (lane % 4) + e + 4 * R * r, lane / 4}; }
// C and D are 16 x 8: element i in [0, 4).
constexpr At c(int lane, int i) { return {lane / 4 + 8 * (i >> 1), 2 * (lane % 4) + (i & 1)}; }

// The lane that holds the 2:4 metadata of A's row and of logical columns [16j, 16j + 16), and
// the bit where it starts: four bits to a group of four columns, two per kept element. For
// m16n8k32 on 16-bit elements, where `selector` in {0, 1} picks the pair of lanes in each quad.
struct Meta {
  int lane, shift;
};
constexpr Meta meta(int row, int j, int selector) {
  return {4 * (row % 8) + 2 * selector + j, 16 * (row / 8)};
}

}  // namespace hone::simt::fragment
