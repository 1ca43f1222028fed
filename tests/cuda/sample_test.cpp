// Draws on the device are the reference's.
#include <numeric>

#include "tests/support/draws.h"
// Last: doctest.
#include "tests/cuda/fixture.h"

using namespace hone;

namespace {

std::vector<Sampled> draws(const std::vector<float>& x, const std::vector<SampleRow>& rows,
                           bool log_probabilities) {
  const auto dx = upload(x);
  const auto settings = upload(rows);
  const auto out = upload(std::vector<Sampled>(rows.size()));
  device().run.sample({.x = dx.get(),
                       .settings = settings.get(),
                       .out = out.get(),
                       .log_probabilities = log_probabilities,
                       .rows = static_cast<int64_t>(rows.size()),
                       .dim = static_cast<int64_t>(x.size() / rows.size())});
  return out.download();
}

// `ways`, by index, of each of `logits`, a block each.
void check_draws(const std::vector<std::vector<float>>& logits, const std::vector<size_t>& ways,
                 const std::vector<int32_t>& text, bool log_probabilities) {
  const auto device_text = upload(text);
  const auto length = static_cast<int64_t>(text.size());
  const std::vector<SampleRow> here = ways_to_draw(text.data(), length);
  const std::vector<SampleRow> there = ways_to_draw(device_text.get(), length);
  std::vector<float> x;
  std::vector<SampleRow> host_rows, device_rows;
  for (const std::vector<float>& row : logits) {
    for (const size_t way : ways) {
      x.insert(x.end(), row.begin(), row.end());
      host_rows.push_back(here[way]);
      device_rows.push_back(there[way]);
    }
  }
  const std::vector<Sampled> expected = reference_draws(x, host_rows, log_probabilities);
  const std::vector<Sampled> drawn = draws(x, device_rows, log_probabilities);
  for (size_t i = 0; i < drawn.size(); ++i) {
    CHECK_MESSAGE(same(drawn[i], expected[i]), logits[0].size()
                                                   << " logits, row " << i / ways.size() << ", way "
                                                   << ways[i % ways.size()]);
  }
}

std::vector<size_t> all_ways() {
  std::vector<size_t> ways(ways_to_draw(nullptr, 0).size());
  std::iota(ways.begin(), ways.end(), size_t{0});
  return ways;
}

constexpr size_t kEverything = 12;  // the way with every filter

}  // namespace

TEST_CASE("sample: the reference's token for every kind of logits and every filter") {
  for (const int64_t dim : {1, 31, 32, 33, 2052, 2053}) {
    const auto last = static_cast<int32_t>(dim - 1);
    const bool small = dim < 2000;  // the rest is the same at any length
    check_draws(rows_of_logits(dim, 7), small ? all_ways() : std::vector<size_t>{3, 8, kEverything},
                {0, last / 2, 0, -1, last + 1, last}, true);
  }
}

TEST_CASE("sample: vocabularies of models") {
  check_draws({normal_floats(32000, 1, 3)}, {2, 8, kEverything}, {5, 31999}, true);
  check_draws({normal_floats(151936, 2, 3)}, {kEverything}, {5, 151935}, false);
}

TEST_CASE("sample: a penalty over more ids than shared memory has bits for") {
  check_draws({normal_floats(2'000'001, 1, 3)}, {1}, {5, 2'000'000}, false);
}

TEST_CASE("sample: every order of threads") {
  in_every_order([] { check_draws({normal_floats(700, 1, 3)}, {1, 6, kEverything}, {3}, true); });
}

TEST_CASE("drawn_ids: this step's ids from what the step before drew") {
  const std::vector<Sampled> sampled = {{.id = 7}, {.id = -1}, {.id = 300}};
  const auto drawn = upload(sampled);
  const auto ids = upload(std::vector<int32_t>{-3, 5, -1, -2, 0});
  device().run.drawn_ids({.ids = ids.get(),
                          .drawn = &drawn.get()->id,
                          .stride = sizeof(Sampled) / sizeof(int32_t),
                          .count = 5});
  CHECK(ids.download() == std::vector<int32_t>{300, 5, 7, 0, 0});
}
