// Integers of 2 to 8 bits packed without gaps (compressed-tensors, "pack-quantized"). A value q is
// stored as the unsigned number u = q + 2^(bits-1); u(i) takes bits [bits*i, bits*(i+1)) of the
// row, LSB first, in little-endian 32-bit words; unused bits of the last word are zero. With 4
// bits:
//
//   q     -8 -7 -1  0  1  2  6  7
//   u      0  1  7  8  9 10 14 15
//   word  0xfea98710, in memory 10 87 a9 fe
//
// Little-endian words filled from the LSB are simply bytes filled from the LSB. So eight values
// always take `bits` whole bytes, whatever the number of bits: the unit of the loops below.
#include <algorithm>
#include <cstring>

#include "kernels/check.h"
#include "kernels/codec/codec.h"

namespace hone {
namespace {

template <int kBits>
void pack_eight(const int8_t* values, std::byte* out) {
  constexpr int kOffset = 1 << (kBits - 1);
  uint64_t all = 0;
  for (int i = 0; i < 8; ++i) {
    CHECK(values[i] >= -kOffset && values[i] < kOffset);
    all |= static_cast<uint64_t>(values[i] + kOffset) << (kBits * i);
  }
  std::memcpy(out, &all, kBits);
}

template <int kBits>
void unpack_eight(const std::byte* packed, int8_t* out) {
  constexpr int kOffset = 1 << (kBits - 1);
  constexpr int kMask = (1 << kBits) - 1;
  uint64_t all = 0;
  std::memcpy(&all, packed, kBits);
  for (int i = 0; i < 8; ++i) {
    out[i] = static_cast<int8_t>(static_cast<int>(all >> (kBits * i) & kMask) - kOffset);
  }
}

template <int kBits>
void pack(const int8_t* values, int64_t count, std::byte* out) {
  constexpr auto kZero = static_cast<int8_t>(-(1 << (kBits - 1)));  // stored as 0
  const int64_t eights = count / 8;
  const int64_t rest = count % 8;
  const int64_t bytes = packed_row_bytes(count, kBits);
  for (int64_t i = 0; i < eights; ++i) pack_eight<kBits>(values + 8 * i, out + kBits * i);
  std::fill(out + kBits * eights, out + bytes, std::byte{0});
  if (rest == 0) return;
  int8_t last[8];
  std::byte packed[kBits];
  for (int i = 0; i < 8; ++i) last[i] = i < rest ? values[8 * eights + i] : kZero;
  pack_eight<kBits>(last, packed);
  std::memcpy(out + kBits * eights, packed, static_cast<size_t>((rest * kBits + 7) / 8));
}

template <int kBits>
void unpack(const std::byte* row, int64_t count, int8_t* out) {
  const int64_t eights = count / 8;
  const int64_t rest = count % 8;
  for (int64_t i = 0; i < eights; ++i) unpack_eight<kBits>(row + kBits * i, out + 8 * i);
  if (rest == 0) return;
  int8_t last[8];
  std::byte packed[kBits] = {};
  std::memcpy(packed, row + kBits * eights, static_cast<size_t>((rest * kBits + 7) / 8));
  unpack_eight<kBits>(packed, last);
  std::memcpy(out + 8 * eights, last, static_cast<size_t>(rest));
}

// Where the bits of row r of a packed column of zero points start.
struct Position {
  int64_t word;
  int shift;
};

Position position(int64_t r, int bits) { return {r * bits / 32, static_cast<int>(r * bits % 32)}; }

uint32_t load_word(const std::byte* words, int64_t i) {
  uint32_t word;
  std::memcpy(&word, words + 4 * i, sizeof word);
  return word;
}

void or_into_word(std::byte* words, int64_t i, uint32_t bits) {
  bits |= load_word(words, i);
  std::memcpy(words + 4 * i, &bits, sizeof bits);
}

}  // namespace

int64_t packed_row_bytes(int64_t count, int bits) {
  CHECK(count >= 0 && bits >= 2 && bits <= 8);
  return (count * bits + 31) / 32 * 4;
}

void pack_row(const int8_t* values, int64_t count, int bits, std::byte* out) {
  switch (bits) {
    case 2:
      return pack<2>(values, count, out);
    case 3:
      return pack<3>(values, count, out);
    case 4:
      return pack<4>(values, count, out);
    case 5:
      return pack<5>(values, count, out);
    case 6:
      return pack<6>(values, count, out);
    case 7:
      return pack<7>(values, count, out);
    case 8:
      return pack<8>(values, count, out);
    default:
      CHECK(!"packed integers have 2 to 8 bits");
  }
}

void unpack_row(const std::byte* row, int64_t count, int bits, int8_t* out) {
  CHECK(count >= 0);
  switch (bits) {
    case 2:
      return unpack<2>(row, count, out);
    case 3:
      return unpack<3>(row, count, out);
    case 4:
      return unpack<4>(row, count, out);
    case 5:
      return unpack<5>(row, count, out);
    case 6:
      return unpack<6>(row, count, out);
    case 7:
      return unpack<7>(row, count, out);
    case 8:
      return unpack<8>(row, count, out);
    default:
      CHECK(!"packed integers have 2 to 8 bits");
  }
}

// Zero points go row by row although they are packed down columns: all columns of a row share one
// place in their words, and memory is walked in order.
void pack_zeros(const int8_t* zeros, int64_t rows, int64_t groups, int bits, std::byte* packed) {
  CHECK(groups >= 0);
  const int offset = 1 << (bits - 1);
  std::fill_n(packed, packed_row_bytes(rows, bits) * groups, std::byte{0});
  for (int64_t r = 0; r < rows; ++r) {
    const auto [word, shift] = position(r, bits);
    for (int64_t g = 0; g < groups; ++g) {
      const int zero = zeros[r * groups + g];
      CHECK(zero >= -offset && zero < offset);
      const uint64_t spread = static_cast<uint64_t>(zero + offset) << shift;
      or_into_word(packed, word * groups + g, static_cast<uint32_t>(spread));
      if (shift + bits <= 32) continue;
      or_into_word(packed, (word + 1) * groups + g, static_cast<uint32_t>(spread >> 32));
    }
  }
}

void unpack_zeros(const std::byte* packed, int64_t rows, int64_t groups, int bits, int8_t* zeros) {
  CHECK(rows >= 0 && groups >= 0 && bits >= 2 && bits <= 8);
  const int offset = 1 << (bits - 1);
  const uint64_t mask = (1u << bits) - 1;
  for (int64_t r = 0; r < rows; ++r) {
    const auto [word, shift] = position(r, bits);
    for (int64_t g = 0; g < groups; ++g) {
      uint64_t spread = load_word(packed, word * groups + g);
      if (shift + bits > 32) {
        spread |= static_cast<uint64_t>(load_word(packed, (word + 1) * groups + g)) << 32;
      }
      const int stored = static_cast<int>(spread >> shift & mask);
      zeros[r * groups + g] = static_cast<int8_t>(stored - offset);
    }
  }
}

}  // namespace hone
