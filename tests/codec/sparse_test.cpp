// 2:4 compression over every pattern of zeros in a pair of quadruples.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/codec/codec.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

// Positions kept of a quadruple, from the rule in words: the nonzero ones, then the lowest unused.
std::pair<unsigned, unsigned> positions_kept(unsigned nonzero) {
  std::vector<unsigned> kept;
  for (unsigned p = 0; p < 4; ++p) {
    if (nonzero >> p & 1) kept.push_back(p);
  }
  for (unsigned p = 0; p < 4 && kept.size() < 2; ++p) {
    if (!(nonzero >> p & 1)) kept.push_back(p);
  }
  return std::minmax(kept[0], kept[1]);
}

TEST_CASE("every pattern of two quadruples: refused, or kept by the rule and restored") {
  for (unsigned pattern = 0; pattern < 256; ++pattern) {
    CAPTURE(pattern);
    std::vector<float> dense(8);
    for (unsigned c = 0; c < 8; ++c) {
      dense[c] = pattern >> c & 1 ? static_cast<float>(c) - 10 : 0.0f;
    }
    const unsigned quadruples[] = {pattern & 15, pattern >> 4};
    const bool fits = std::popcount(quadruples[0]) <= 2 && std::popcount(quadruples[1]) <= 2;
    std::vector<float> kept(4);
    std::byte index{0xff};
    REQUIRE(compress_2_4(dense.data(), 8, kept.data(), &index) == fits);
    if (!fits) continue;
    unsigned expected_index = 0;
    for (unsigned q = 0; q < 2; ++q) {
      const auto [first, second] = positions_kept(quadruples[q]);
      REQUIRE(first < second);
      expected_index |= (first | second << 2) << 4 * q;
      CHECK(kept[2 * q] == dense[4 * q + first]);
      CHECK(kept[2 * q + 1] == dense[4 * q + second]);
    }
    CHECK(std::to_integer<unsigned>(index) == expected_index);
    std::vector<float> back(8, 99.0f);
    expand_2_4(kept.data(), &index, 8, back.data());
    CHECK(back == dense);
  }
}

TEST_CASE("the example in the format's description") {
  const std::vector<float> dense = {0, 5, 0, 7, 3, 0, 0, 0};
  std::vector<float> kept(4);
  std::byte index{};
  REQUIRE(compress_2_4(dense.data(), 8, kept.data(), &index));
  CHECK(kept == std::vector<float>({5, 7, 3, 0}));
  CHECK(index == std::byte{0x4d});
}

TEST_CASE("rows of many quadruples, expanded in place from the second half") {
  for (int64_t columns : {0, 8, 16, 24, 128}) {
    CAPTURE(columns);
    std::vector<float> dense(static_cast<size_t>(columns));
    for (int64_t q = 0; q < columns / 4; ++q) {
      dense[static_cast<size_t>(4 * q + q % 2)] = static_cast<float>(q + 1);
      dense[static_cast<size_t>(4 * q + 2 + q / 2 % 2)] = -0.5f * static_cast<float>(q + 1);
    }
    std::vector<float> kept(static_cast<size_t>(columns / 2));
    std::vector<std::byte> index(static_cast<size_t>(columns / 8));
    REQUIRE(compress_2_4(dense.data(), columns, kept.data(), index.data()));
    std::vector<float> back(dense.size(), 99.0f);
    std::copy(kept.begin(), kept.end(), back.begin() + columns / 2);
    expand_2_4(back.data() + columns / 2, index.data(), columns, back.data());
    CHECK(back == dense);
  }
}

TEST_CASE("NaN is a nonzero, minus zero is not") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> kept(4);
  std::byte index{};
  const std::vector<float> three = {nan, 1, 2, 0, 0, 0, 0, 0};
  CHECK_FALSE(compress_2_4(three.data(), 8, kept.data(), &index));
  const std::vector<float> two = {-0.0f, -0.0f, nan, 2, 0, 0, 0, 0};
  REQUIRE(compress_2_4(two.data(), 8, kept.data(), &index));
  CHECK(std::isnan(kept[0]));
  CHECK(kept[1] == 2);
}

}  // namespace
}  // namespace hone
