#include "libcommon/base/rng.h"

#include <set>

#include "tests/support/doctest.h"

using namespace hone;

TEST_CASE("a draw depends on seed, stream and index, and on nothing else") {
  CHECK(random_bits(1, 2, 3) == random_bits(1, 2, 3));
  std::set<uint64_t> draws;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    for (uint64_t stream = 0; stream < 10; ++stream) {
      for (uint64_t index = 0; index < 10; ++index) draws.insert(random_bits(seed, stream, index));
    }
  }
  CHECK(draws.size() == 1000);
}

TEST_CASE("uniform and normal draws have their moments") {
  constexpr int kDraws = 200000;
  double sum = 0, square = 0, uniform = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double u = random_uniform(7, 0, static_cast<uint64_t>(i));
    REQUIRE(u >= 0);
    REQUIRE(u < 1);
    uniform += u;
    const double x = random_normal(7, 1, static_cast<uint64_t>(i));
    sum += x;
    square += x * x;
  }
  // Five standard errors of each mean.
  CHECK(std::abs(uniform / kDraws - 0.5) < 5 * 0.2887 / std::sqrt(kDraws));
  CHECK(std::abs(sum / kDraws) < 5 / std::sqrt(kDraws));
  CHECK(std::abs(square / kDraws - 1) < 5 * 1.4143 / std::sqrt(kDraws));
}
