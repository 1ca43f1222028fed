// Packed integers against a packer that sets one bit at a time.
#include <random>
#include <vector>

#include "kernels/codec/codec.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

using Bytes = std::vector<std::byte>;

std::vector<int8_t> random_integers(std::mt19937& random, int64_t count, int bits) {
  std::vector<int8_t> values(static_cast<size_t>(count));
  for (int8_t& value : values) {
    value = static_cast<int8_t>(static_cast<int>(random() % (1u << bits)) - (1 << (bits - 1)));
  }
  return values;
}

// The definition: bit b of element i is bit bits * i + b of the row.
Bytes pack_bit_by_bit(const std::vector<int8_t>& values, int bits) {
  const size_t words = (values.size() * static_cast<size_t>(bits) + 31) / 32;
  Bytes bytes(4 * words);
  for (size_t i = 0; i < values.size(); ++i) {
    const int stored = values[i] + (1 << (bits - 1));
    for (int b = 0; b < bits; ++b) {
      const size_t at = i * static_cast<size_t>(bits) + static_cast<size_t>(b);
      if (stored >> b & 1) bytes[at / 8] |= std::byte{1} << at % 8;
    }
  }
  return bytes;
}

TEST_CASE("the worked examples of compressed-tensors") {
  const std::vector<int8_t> four = {-8, -7, -1, 0, 1, 2, 6, 7};
  Bytes packed(4);
  pack_row(four.data(), 8, 4, packed.data());
  CHECK(packed == Bytes({std::byte{0x10}, std::byte{0x87}, std::byte{0xa9}, std::byte{0xfe}}));
  const std::vector<int8_t> eight = {-128, -1, 0, 127};
  pack_row(eight.data(), 4, 8, packed.data());
  CHECK(packed == Bytes({std::byte{0x00}, std::byte{0x7f}, std::byte{0x80}, std::byte{0xff}}));
}

TEST_CASE("rows of every width and length pack by definition and unpack to themselves") {
  std::mt19937 random(3);
  for (int bits = 2; bits <= 8; ++bits) {
    for (int64_t count = 0; count <= 67; ++count) {
      CAPTURE(bits);
      CAPTURE(count);
      const std::vector<int8_t> values = random_integers(random, count, bits);
      const Bytes expected = pack_bit_by_bit(values, bits);
      REQUIRE(packed_row_bytes(count, bits) == static_cast<int64_t>(expected.size()));
      Bytes packed(expected.size(), std::byte{0xff});  // leftovers must not survive
      pack_row(values.data(), count, bits, packed.data());
      CHECK(packed == expected);
      std::vector<int8_t> back(values.size());
      unpack_row(packed.data(), count, bits, back.data());
      CHECK(back == values);
    }
  }
}

TEST_CASE("the largest and smallest value of every width survive") {
  for (int bits = 2; bits <= 8; ++bits) {
    std::vector<int8_t> values;
    for (int i = 0; i < 33; ++i) {
      values.push_back(static_cast<int8_t>(i % 2 ? (1 << (bits - 1)) - 1 : -(1 << (bits - 1))));
    }
    Bytes packed(static_cast<size_t>(packed_row_bytes(33, bits)));
    std::vector<int8_t> back(33);
    pack_row(values.data(), 33, bits, packed.data());
    unpack_row(packed.data(), 33, bits, back.data());
    CHECK(back == values);
  }
}

TEST_CASE("column g of packed zero points is the packed column g") {
  std::mt19937 random(5);
  for (int bits = 2; bits <= 8; ++bits) {
    for (int64_t rows : {1, 7, 8, 9, 31, 32, 33, 67}) {
      for (int64_t groups : {1, 3, 8}) {
        CAPTURE(bits);
        CAPTURE(rows);
        CAPTURE(groups);
        const std::vector<int8_t> zeros = random_integers(random, rows * groups, bits);
        const int64_t words = packed_row_bytes(rows, bits) / 4;
        Bytes packed(static_cast<size_t>(4 * words * groups), std::byte{0xff});
        pack_zeros(zeros.data(), rows, groups, bits, packed.data());
        for (int64_t g = 0; g < groups; ++g) {
          std::vector<int8_t> column;
          for (int64_t r = 0; r < rows; ++r) {
            column.push_back(zeros[static_cast<size_t>(r * groups + g)]);
          }
          Bytes packed_column;
          for (int64_t w = 0; w < words; ++w) {
            const auto begin = packed.begin() + 4 * (w * groups + g);
            packed_column.insert(packed_column.end(), begin, begin + 4);
          }
          CHECK(packed_column == pack_bit_by_bit(column, bits));
        }
        std::vector<int8_t> back(zeros.size());
        unpack_zeros(packed.data(), rows, groups, bits, back.data());
        CHECK(back == zeros);
      }
    }
  }
}

}  // namespace
}  // namespace hone
