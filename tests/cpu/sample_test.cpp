// Draws on the CPU are the reference's.
#include <numeric>

#include "tests/cpu/fixture.h"
#include "tests/support/draws.h"
// Last: its CHECK.
#include "tests/support/doctest.h"

using namespace hone;

TEST_CASE("sample: the reference's token for every kind of logits and every filter") {
  const auto backend = open_backend("cpu", 2, nullptr);
  for (const int64_t dim : {1, 31, 32, 33, 1000, 32000}) {
    const std::vector<int32_t> text = {
        0,  static_cast<int32_t>(dim / 2), 0,
        -1, static_cast<int32_t>(dim),     static_cast<int32_t>(dim - 1)};
    const auto ways = ways_to_draw(text.data(), static_cast<int64_t>(text.size()));
    for (const std::vector<float>& logits : rows_of_logits(dim, static_cast<uint32_t>(dim))) {
      std::vector<float> x;
      for (size_t i = 0; i < ways.size(); ++i) x.insert(x.end(), logits.begin(), logits.end());
      const std::vector<Sampled> expected = reference_draws(x, ways, true);
      std::vector<Sampled> drawn(ways.size());
      backend->run.sample({.x = x.data(),
                           .settings = ways.data(),
                           .out = drawn.data(),
                           .log_probabilities = true,
                           .rows = static_cast<int64_t>(ways.size()),
                           .dim = dim});
      for (size_t i = 0; i < ways.size(); ++i) {
        CHECK_MESSAGE(same(drawn[i], expected[i]), dim << ", way " << i);
      }
    }
  }
}
