// Attention and its cache on every dispatch level, against the reference.
#include <cmath>

#include "tests/cpu/fixture.h"
#include "tests/support/tolerances.h"
// Last: its CHECK.
#include "tests/support/doctest.h"

using namespace hone;

namespace {

struct Case {
  int64_t heads;
  int64_t kv_heads;
  int64_t head_dim;
  int64_t capacity;
  int64_t window = 0;
  bool alibi = false;
  double scale = 0.2;
};

// Two sequences whose caches are full of random keys and values.
struct Problem {
  Case shape;
  std::vector<int32_t> sequences;
  std::vector<int32_t> positions;
  std::vector<float> q, keys, values, slopes;

  Problem(const Case& c, std::vector<int32_t> at) : shape(c), positions(std::move(at)) {
    const int64_t cache = 2 * c.kv_heads * c.capacity * c.head_dim;
    for (size_t i = 0; i < positions.size(); ++i) sequences.push_back(i % 2 == 0 ? 1 : 0);
    q = normal_floats(tokens() * c.heads * c.head_dim, 1);
    keys = normal_floats(cache, 2);
    values = normal_floats(cache, 3);
    for (int64_t h = 0; h < c.heads; ++h) slopes.push_back(1.0f / static_cast<float>(2 << h));
  }

  int64_t tokens() const { return static_cast<int64_t>(positions.size()); }

  // Tokens [begin, end).
  std::vector<float> run(Backend& backend, int64_t begin, int64_t end) const {
    const int64_t width = shape.heads * shape.head_dim;
    std::vector<float> out = poisoned((end - begin) * width);
    backend.run.attention({.q = q.data() + begin * width,
                           .keys = keys.data(),
                           .values = values.data(),
                           .out = out.data(),
                           .sequences = sequences.data() + begin,
                           .positions = positions.data() + begin,
                           .tokens = end - begin,
                           .heads = shape.heads,
                           .kv_heads = shape.kv_heads,
                           .head_dim = shape.head_dim,
                           .capacity = shape.capacity,
                           .scale = shape.scale,
                           .window = shape.window,
                           .alibi_slopes = shape.alibi ? slopes.data() : nullptr});
    return out;
  }
};

constexpr Case kCases[] = {
    {.heads = 1, .kv_heads = 1, .head_dim = 1, .capacity = 130},
    {.heads = 2, .kv_heads = 2, .head_dim = 7, .capacity = 200},
    {.heads = 4, .kv_heads = 2, .head_dim = 8, .capacity = 200, .window = 1},
    {.heads = 6, .kv_heads = 2, .head_dim = 16, .capacity = 300, .window = 65},
    {.heads = 4, .kv_heads = 4, .head_dim = 33, .capacity = 300, .alibi = true},
    {.heads = 8, .kv_heads = 1, .head_dim = 64, .capacity = 200, .window = 64, .alibi = true},
    {.heads = 2, .kv_heads = 1, .head_dim = 100, .capacity = 200, .scale = 2.5},
    {.heads = 2, .kv_heads = 1, .head_dim = 128, .capacity = 200},
};

// Around blocks of 64 keys.
const std::vector<int32_t> kPositions = {0, 1, 2, 15, 62, 63, 64, 65, 127, 128, 129};

}  // namespace

TEST_CASE("attention: grouped heads, windows, slopes, lengths around the block of keys") {
  for (const std::string& level : levels()) {
    const auto backend = open_level(level, 2);
    for (const Case& c : kCases) {
      const Problem problem(c, kPositions);
      const auto actual = problem.run(*backend, 0, problem.tokens());
      const auto expected = problem.run(reference(), 0, problem.tokens());
      const std::vector<double> magnitudes(expected.size(), 4.0);  // values are at most about 4
      CHECK(tolerance::difference(actual, expected, magnitudes, tolerance::kAttention) == "");
    }
  }
}

TEST_CASE("attention: the same bytes alone or in a batch, for any number of threads") {
  for (const std::string& level : levels()) {
    const auto one = open_level(level, 1);
    for (const Case& c : kCases) {
      const Problem problem(c, kPositions);
      const auto batch = problem.run(*one, 0, problem.tokens());
      const int64_t width = c.heads * c.head_dim;
      for (int64_t t = 0; t < problem.tokens(); ++t) {
        const std::span<const float> in_batch(batch.data() + t * width, width);
        CHECK(tolerance::same_bytes(problem.run(*one, t, t + 1), in_batch));
      }
      for (const int threads : {2, 3, 5}) {
        const auto many = open_level(level, threads);
        CHECK(tolerance::same_bytes(problem.run(*many, 0, problem.tokens()), batch));
      }
    }
  }
}

TEST_CASE("attention: ALiBi stays exact far from the start") {
  // Scores near 60,000 in f32 would be 0.004 apart; the weights need them apart by 0.0001.
  const Case shape{.heads = 1, .kv_heads = 1, .head_dim = 4, .capacity = 60001, .alibi = true};
  const Problem problem(shape, {60000});
  const auto actual = problem.run(*open_level(levels().front(), 1), 0, 1);
  const auto expected = problem.run(reference(), 0, 1);
  CHECK(tolerance::difference(actual, expected, std::vector<double>(4, 4.0),
                              tolerance::kAttention) == "");
}

TEST_CASE("attention: NaN and infinite scores") {
  const Case shape{.heads = 1, .kv_heads = 1, .head_dim = 4, .capacity = 150};
  for (const std::string& level : levels()) {
    const auto backend = open_level(level, 1);
    for (const float bad : {kNaN, kInfinity, -kInfinity}) {
      for (const int64_t key : {0, 5, 63, 64, 70, 140}) {
        Problem problem(shape, {141, 141, 3});
        problem.sequences = {0, 1, 0};
        for (float& v : problem.q) v = std::abs(v);
        problem.keys[key * 4 + 1] = bad;  // sequence 0
        const auto actual = problem.run(*backend, 0, 3);
        const auto expected = problem.run(reference(), 0, 3);
        CHECK(tolerance::class_difference(actual, expected) == "");
        for (int i = 4; i < 8; ++i) CHECK(std::isfinite(actual[i]));
      }
    }
    Problem nothing(shape, {100});  // no key has a finite score
    for (float& v : nothing.q) v = 1;
    for (float& v : nothing.keys) v = -kInfinity;
    for (const float v : nothing.run(*backend, 0, 1)) CHECK(std::isnan(v));
  }
}

TEST_CASE("kv_store: each token in its slot, nothing else touched") {
  const int64_t heads = 3, dim = 5, capacity = 4;
  const int32_t sequences[] = {1, 0, 1}, positions[] = {0, 3, 2};
  const std::vector<float> k = normal_floats(3 * heads * dim, 1),
                           v = normal_floats(3 * heads * dim, 2);
  for (const std::string& level : levels()) {
    const auto backend = open_level(level, 2);
    std::vector<float> keys = poisoned(2 * heads * capacity * dim), values = keys;
    KvStoreArgs args{.k = k.data(),
                     .v = v.data(),
                     .keys = keys.data(),
                     .values = values.data(),
                     .sequences = sequences,
                     .positions = positions,
                     .tokens = 3,
                     .kv_heads = heads,
                     .head_dim = dim,
                     .capacity = capacity};
    backend->run.kv_store(args);
    int64_t written = 0;
    for (const float x : keys) written += !std::isnan(x);
    CHECK(written == 3 * heads * dim);
    for (int64_t t = 0; t < 3; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        for (int64_t i = 0; i < dim; ++i) {
          const int64_t at = ((sequences[t] * heads + h) * capacity + positions[t]) * dim + i;
          CHECK(keys[at] == k[(t * heads + h) * dim + i]);
          CHECK(values[at] == v[(t * heads + h) * dim + i]);
        }
      }
    }
  }
}
