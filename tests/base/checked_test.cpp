#include "libcommon/base/checked.h"

#include <vector>

#include "tests/support/doctest.h"

using namespace hone;

TEST_CASE("sums and products of file numbers do not wrap round") {
  CHECK(checked_add(UINT64_MAX - 1, 1) == UINT64_MAX);
  CHECK_FALSE(checked_add(UINT64_MAX, 1).has_value());
  CHECK(checked_mul(uint64_t{1} << 32, (uint64_t{1} << 32) - 1).has_value());
  CHECK_FALSE(checked_mul(uint64_t{1} << 32, uint64_t{1} << 32).has_value());
}

TEST_CASE("a shape's product") {
  const auto product = [](std::vector<int64_t> shape) { return checked_product(shape); };
  CHECK(product({}) == 1);
  CHECK(product({3, 0, 5}) == 0);
  CHECK(product({INT64_MAX}) == INT64_MAX);
  CHECK_FALSE(product({int64_t{1} << 32, int64_t{1} << 31}).has_value());
  CHECK_FALSE(product({2, -1}).has_value());
}
