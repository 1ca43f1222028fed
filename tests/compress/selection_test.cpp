// Exact selection against sorting.
#include "libcommon/compress/selection.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "libcommon/base/rng.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

Selection select(const std::vector<float>& scores, int64_t count) {
  Selection selection(count);
  for (int level = 0; level < Selection::kLevels; ++level) {
    const std::span<const float> all(scores);
    selection.count(level, all.first(scores.size() / 3));
    selection.count(level, all.subspan(scores.size() / 3));
    selection.settle(level);
  }
  return selection;
}

int64_t chosen(const std::vector<float>& scores, const Selection& selection) {
  return std::count_if(scores.begin(), scores.end(),
                       [&](float s) { return s < selection.bound(); }) +
         selection.ties_left();
}

TEST_CASE("the k smallest, as sorting finds them") {
  std::vector<float> scores;
  for (uint64_t i = 0; i < 3000; ++i) {
    // A third is rounded hard, so that there are many ties; magnitudes span 30 decades.
    float s = static_cast<float>(std::fabs(random_normal(1, 2, i)));
    if (i % 3 == 0) s = std::round(s * 4) / 4;
    if (i % 3 == 1) s = std::ldexp(s, static_cast<int>(i % 100) - 50);
    scores.push_back(s);
  }
  std::vector<float> sorted = scores;
  std::sort(sorted.begin(), sorted.end());
  for (int64_t count : {1, 2, 999, 1000, 1500, 2999, 3000}) {
    CAPTURE(count);
    const Selection selection = select(scores, count);
    CHECK(selection.bound() == sorted[static_cast<size_t>(count - 1)]);
    CHECK(chosen(scores, selection) == count);
  }
}

TEST_CASE("edges: nothing, all equal, zero, subnormal, infinity") {
  CHECK(chosen({1, 2, 3}, select({1, 2, 3}, 0)) == 0);
  CHECK(chosen({5, 5, 5, 5}, select({5, 5, 5, 5}, 3)) == 3);
  const float tiny = std::numeric_limits<float>::denorm_min();
  const std::vector<float> scores = {0, tiny, 2 * tiny, std::numeric_limits<float>::infinity()};
  CHECK(select(scores, 1).bound() == 0);
  CHECK(select(scores, 2).bound() == tiny);
  CHECK(select(scores, 4).bound() == std::numeric_limits<float>::infinity());
}

TEST_CASE("a fixed bound takes what is below it and no tie") {
  const Selection selection = Selection::below(0.5f);
  CHECK(selection.bound() == 0.5f);
  CHECK(selection.ties_left() == 0);
}

}  // namespace
}  // namespace hone
