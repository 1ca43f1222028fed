// 2:4 sparsity: of each four neighbouring columns (a quadruple) two are kept, with a nibble that
// says which: first | second << 2, first < second; the even quadruple in the low nibble.
//
//   dense   0  5  0  7 | 3  0  0  0      (3 0 0 0: column 1 fills up)
//   kept    5  7         3  0
//   nibble  1 | 3 << 2   0 | 1 << 2      index byte: 0x4d
//
// This is also the layout that the sparse tensor cores of NVIDIA GPUs read (A. Mishra et al.,
// "Accelerating Sparse Deep Neural Networks", 2021), there with wider words.
#include <array>
#include <bit>

#include "kernels/check.h"
#include "kernels/codec/codec.h"

namespace hone {
namespace {

constexpr uint8_t kTooMany = 0xff;

// The nibble for a set of nonzero positions (bit p: column p of the quadruple), filled up from the
// lowest unused positions to two.
constexpr uint8_t nibble_for(unsigned nonzero) {
  for (unsigned p = 0; p < 4 && std::popcount(nonzero) < 2; ++p) nonzero |= 1u << p;
  if (std::popcount(nonzero) > 2) return kTooMany;
  const int first = std::countr_zero(nonzero);
  const int second = std::bit_width(nonzero) - 1;
  return static_cast<uint8_t>(first | second << 2);
}

constexpr std::array<uint8_t, 16> kNibbles = [] {
  std::array<uint8_t, 16> table{};
  for (unsigned nonzero = 0; nonzero < 16; ++nonzero) table[nonzero] = nibble_for(nonzero);
  return table;
}();

}  // namespace

bool compress_2_4(const float* dense, int64_t columns, float* kept, std::byte* index) {
  CHECK(columns >= 0 && columns % 8 == 0);
  for (int64_t q = 0; q < columns / 4; ++q) {
    const float* four = dense + 4 * q;
    unsigned nonzero = 0;  // NaN counts: it compares unequal to zero
    for (int p = 0; p < 4; ++p) nonzero |= static_cast<unsigned>(four[p] != 0) << p;
    const uint8_t nibble = kNibbles[nonzero];
    if (nibble == kTooMany) return false;
    kept[2 * q] = four[nibble & 3];
    kept[2 * q + 1] = four[nibble >> 2];
    if (q % 2 == 0) {
      index[q / 2] = std::byte{nibble};
    } else {
      index[q / 2] |= std::byte{nibble} << 4;
    }
  }
  return true;
}

// `kept` may be the second half of `dense`: a quadruple is read before it is written, and no write
// reaches a quadruple that is still to be read.
void expand_2_4(const float* kept, const std::byte* index, int64_t columns, float* dense) {
  CHECK(columns >= 0 && columns % 8 == 0);
  for (int64_t q = 0; q < columns / 4; ++q) {
    const unsigned nibble = std::to_integer<unsigned>(index[q / 2]) >> q % 2 * 4;
    const float first = kept[2 * q];
    const float second = kept[2 * q + 1];
    float* four = dense + 4 * q;
    for (int p = 0; p < 4; ++p) four[p] = 0;
    four[nibble & 3] = first;
    four[nibble >> 2 & 3] = second;
  }
}

}  // namespace hone
