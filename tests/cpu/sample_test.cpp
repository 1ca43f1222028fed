// Draws on the CPU are the reference's, and so is the likeliest token.
#include <limits>
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

TEST_CASE("argmax: every length, equals, and what is not finite") {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const auto cpu = open_backend("cpu", 2, nullptr);
  const auto ref = open_backend("ref", 1, nullptr);
  const auto find = [](Backend& backend, const std::vector<float>& x) {
    int32_t id = -2;
    backend.run.argmax(
        {.x = x.data(), .out = &id, .rows = 1, .dim = static_cast<int64_t>(x.size())});
    return id;
  };
  for (const size_t dim : {1, 15, 16, 17, 33, 1000}) {
    for (const size_t at : {size_t{0}, dim / 2, dim - 1}) {
      for (const float value : {0.0f, 7.0f, kInfinity, -kInfinity, kNan}) {
        for (const float rest : {-0.0f, -3.0f, 7.0f, -kInfinity}) {
          std::vector<float> x(dim, rest);
          x[at] = value;
          CHECK_MESSAGE(find(*cpu, x) == find(*ref, x), dim << ", " << at << ", " << value);
        }
      }
    }
  }
}
