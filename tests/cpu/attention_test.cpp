// Attention and its cache on every dispatch level, against the reference.
#include <cmath>
#include <limits>

#include "tests/cpu/fixture.h"
#include "tests/support/tolerances.h"
// Last: its CHECK.
#include "tests/support/doctest.h"

using namespace hone;

namespace {

constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kI8};

struct Case {
  int64_t heads;
  int64_t kv_heads;
  int64_t head_dim;
  int64_t positions = 200;  // cached, of each of two sequences
  int64_t window = 0;
  bool alibi = false;
  double scale = 0.2;
};

// Two sequences whose caches hold random keys and values up to `positions`, and NaN behind.
struct Problem {
  Case shape;
  DType type;
  int64_t capacity;
  std::vector<int32_t> sequences;
  std::vector<int32_t> positions;
  std::vector<float> q, slopes;
  std::vector<std::byte> keys, values;

  Problem(const Case& c, DType element, std::vector<int32_t> at, std::vector<int32_t> of = {})
      : shape(c),
        type(element),
        capacity(kv_capacity(c.positions)),
        sequences(std::move(of)),
        positions(std::move(at)) {
    for (size_t i = sequences.size(); i < positions.size(); ++i) {
      sequences.push_back(i % 2 == 0 ? 1 : 0);
    }
    q = normal_floats(tokens() * c.heads * c.head_dim, 1);
    for (int64_t h = 0; h < c.heads; ++h) slopes.push_back(1.0f / static_cast<float>(2 << (h % 8)));
    keys.resize(kv_tile_offset(type, c.head_dim, capacity, 2 * c.kv_heads, 0), std::byte{0xff});
    values = keys;  // all bits set: NaN, or for int8 the scale NaN
    fill();
  }

  int64_t tokens() const { return static_cast<int64_t>(positions.size()); }
  int64_t width() const { return shape.heads * shape.head_dim; }

  void fill() {
    const auto k = normal_floats(shape.positions * shape.kv_heads * shape.head_dim * 2, 2);
    const auto v = normal_floats(static_cast<int64_t>(k.size()), 3);
    std::vector<int32_t> every_sequence, every_position;
    for (int32_t sequence : {0, 1}) {
      for (int32_t p = 0; p < shape.positions; ++p) {
        every_sequence.push_back(sequence);
        every_position.push_back(p);
      }
    }
    store(reference(), k.data(), v.data(), every_sequence, every_position);
  }

  void store(Backend& backend, const float* k, const float* v, const std::vector<int32_t>& of,
             const std::vector<int32_t>& at) {
    backend.run.kv_store({.k = k,
                          .v = v,
                          .keys = keys.data(),
                          .values = values.data(),
                          .type = type,
                          .sequences = of.data(),
                          .positions = at.data(),
                          .tokens = static_cast<int64_t>(at.size()),
                          .kv_heads = shape.kv_heads,
                          .head_dim = shape.head_dim,
                          .capacity = capacity});
  }

  // Tokens [begin, end).
  std::vector<float> run(Backend& backend, int64_t begin, int64_t end) const {
    std::vector<float> out = poisoned((end - begin) * width());
    backend.run.attention({.q = q.data() + begin * width(),
                           .keys = keys.data(),
                           .values = values.data(),
                           .type = type,
                           .out = out.data(),
                           .sequences = sequences.data() + begin,
                           .positions = positions.data() + begin,
                           .tokens = end - begin,
                           .heads = shape.heads,
                           .kv_heads = shape.kv_heads,
                           .head_dim = shape.head_dim,
                           .capacity = capacity,
                           .scale = shape.scale,
                           .window = shape.window,
                           .alibi_slopes = shape.alibi ? slopes.data() : nullptr});
    return out;
  }
  std::vector<float> run(Backend& backend) const { return run(backend, 0, tokens()); }
};

// Dimensions below, at and above a vector and a tile; 1, 3, 4, 7, 8, 9 and 12 query heads a kv head.
constexpr Case kCases[] = {
    {.heads = 1, .kv_heads = 1, .head_dim = 1},
    {.heads = 2, .kv_heads = 2, .head_dim = 5},
    {.heads = 4, .kv_heads = 1, .head_dim = 8, .window = 1},
    {.heads = 6, .kv_heads = 2, .head_dim = 15, .window = 65},
    {.heads = 8, .kv_heads = 2, .head_dim = 16},
    {.heads = 4, .kv_heads = 4, .head_dim = 17, .alibi = true},
    {.heads = 14, .kv_heads = 2, .head_dim = 20},
    {.heads = 8, .kv_heads = 1, .head_dim = 64, .window = 64, .alibi = true},
    {.heads = 9, .kv_heads = 1, .head_dim = 32},
    {.heads = 12, .kv_heads = 1, .head_dim = 80, .window = 15},
    {.heads = 6, .kv_heads = 2, .head_dim = 96, .window = 70},
    {.heads = 2, .kv_heads = 1, .head_dim = 100, .scale = 1.5},
    {.heads = 2, .kv_heads = 1, .head_dim = 128},
};

// Around tiles of 16 and blocks of 64 positions.
const std::vector<int32_t> kPositions = {0,  1,  2,  14, 15,  16,  17,  31,
                                         62, 63, 64, 65, 126, 127, 128, 129};

std::vector<int32_t> rising(int32_t first, int32_t count) {
  std::vector<int32_t> positions(count);
  std::iota(positions.begin(), positions.end(), first);
  return positions;
}

// Values are at most about 4. Terms of a score that add up to s in magnitude move it, and so the
// weight's relative error, by s units in the last place.
double magnitude_of(const Case& c) {
  const double terms = c.scale * 0.64 * static_cast<double>(c.head_dim);  // mean of |q| |k|
  return 4 * (1 + terms * tolerance::kUlp / tolerance::kAttention);
}

void check_against_reference(const std::vector<Level>& all, const Problem& problem) {
  const auto expected = problem.run(reference());
  const std::vector<double> magnitudes(expected.size(), magnitude_of(problem.shape));
  for (const auto& [level, backend] : all) {
    const auto actual = problem.run(*backend);
    CHECK_MESSAGE(tolerance::difference(actual, expected, magnitudes, tolerance::kAttention) == "",
                  level);
  }
}

void check_alone(const std::vector<Level>& all, const Problem& problem) {
  for (const auto& [level, backend] : all) {
    const auto batch = problem.run(*backend);
    for (int64_t t = 0; t < problem.tokens(); ++t) {
      const std::span<const float> in_batch(batch.data() + t * problem.width(), problem.width());
      CHECK_MESSAGE(tolerance::same_bytes(problem.run(*backend, t, t + 1), in_batch), level);
    }
  }
}

void check_threads(const std::vector<Level>& all, const Problem& problem) {
  for (const auto& [level, backend] : all) {
    const auto one = problem.run(*backend);
    for (const int threads : {1, 2, 3, 5}) {
      CHECK_MESSAGE(tolerance::same_bytes(problem.run(*open_level(level, threads)), one), level);
    }
  }
}

// A key with a number that is not finite, in one of two sequences; then keys of nothing else.
void check_infinite_scores(Backend& backend, int64_t head_dim) {
  const Case shape{.heads = 1, .kv_heads = 1, .head_dim = head_dim, .positions = 150};
  const auto size = static_cast<size_t>(head_dim);
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const float bad : {kNaN, kInfinity, -kInfinity}) {
      for (const int32_t key : {0, 5, 63, 64, 70, 140}) {
        Problem problem(shape, type, {141, 141, 3}, {0, 1, 0});
        for (float& v : problem.q) v = std::abs(v);
        std::vector<float> k(size, 1.0f), v(size);
        k[1] = bad;
        std::iota(v.begin(), v.end(), 1.0f);
        problem.store(reference(), k.data(), v.data(), {0}, {key});
        const auto actual = problem.run(backend);
        CHECK(tolerance::class_difference(actual, problem.run(reference())) == "");
        for (size_t i = size; i < 2 * size; ++i) CHECK(std::isfinite(actual[i]));
      }
    }
    Problem nothing(shape, type, {100}, {0});  // no key has a finite score
    for (float& v : nothing.q) v = 1;
    const std::vector<float> k(size, -kInfinity), v(size, 1.0f);
    for (int32_t p = 0; p <= 100; ++p) nothing.store(reference(), k.data(), v.data(), {0}, {p});
    for (const float x : nothing.run(backend)) CHECK(std::isnan(x));
  }
}

}  // namespace

TEST_CASE("attention: grouped heads, windows, slopes, lengths around tiles and blocks") {
  const std::vector<Level> all = open_levels(2);
  for (const DType type : kTypes) {
    for (const Case& c : kCases) {
      CAPTURE(kv_type_name(type));
      CAPTURE(c.head_dim);
      check_against_reference(all, Problem(c, type, kPositions));
    }
  }
}

TEST_CASE("attention: prompts of many lengths, beginning anywhere") {
  // Tiles have 128 rows: 128, 32, 18, 16 and 10 tokens here.
  const std::vector<Level> all = open_levels(2);
  for (const DType type : kTypes) {
    for (const Case& c : kCases) {
      CAPTURE(kv_type_name(type));
      CAPTURE(c.head_dim);
      for (const int32_t count : {3, 17, 33}) {
        const Problem problem(c, type, rising(count + 40, count), std::vector<int32_t>(count, 1));
        check_against_reference(all, problem);
        check_alone(all, problem);
      }
    }
  }
  const Case one_head{.heads = 1, .kv_heads = 1, .head_dim = 24};
  for (const int32_t count : {127, 128, 129}) {
    const Problem problem(one_head, DType::kF16, rising(71, count), std::vector<int32_t>(count, 0));
    check_against_reference(all, problem);
    check_alone(all, problem);
  }
}

TEST_CASE("attention: the same bytes alone or in a batch, for any number of threads") {
  const std::vector<Level> all = open_levels(1);
  for (const DType type : kTypes) {
    for (const Case& c : kCases) {
      const Problem problem(c, type, kPositions);
      check_alone(all, problem);
      check_threads(all, problem);
    }
  }
}

TEST_CASE("attention: ranges of 512 positions, merged") {
  const Case cases[] = {
      {.heads = 4, .kv_heads = 1, .head_dim = 24, .positions = 1600},
      {.heads = 2, .kv_heads = 2, .head_dim = 16, .positions = 1600, .window = 513},
      {.heads = 8, .kv_heads = 1, .head_dim = 8, .positions = 1600, .window = 700, .alibi = true}};
  std::vector<int32_t> positions = rising(500, 30);  // across the first border
  for (const int32_t p : {510, 511, 512, 513, 1022, 1023, 1024, 1025, 1535, 1599}) {
    positions.push_back(p);
  }
  std::vector<int32_t> sequences(30, 0);
  const std::vector<Level> all = open_levels(2);
  for (const DType type : kTypes) {
    for (const Case& c : cases) {
      const Problem problem(c, type, positions, sequences);
      check_against_reference(all, problem);
      check_alone(all, problem);
      check_threads(all, problem);
    }
  }
}

TEST_CASE("attention: so many tokens that partial sums are merged at once") {
  // 600 tokens of 12 heads of 80 elements and two ranges: beyond the million floats that are kept.
  const Case shape{.heads = 12, .kv_heads = 2, .head_dim = 80, .positions = 1200};
  const Problem problem(shape, DType::kF16, rising(600, 600), std::vector<int32_t>(600, 1));
  const auto backend = open_level(levels().front(), 3);
  const auto all = problem.run(*backend);
  for (const int64_t t : {0, 7, 300, 423, 424, 599}) {
    const std::span<const float> in_batch(all.data() + t * problem.width(), problem.width());
    CHECK(tolerance::same_bytes(problem.run(*backend, t, t + 1), in_batch));
  }
  const auto expected = problem.run(reference(), 590, 600);
  const std::vector<double> magnitudes(expected.size(), magnitude_of(shape));
  const std::span<const float> last(all.data() + 590 * problem.width(), expected.size());
  CHECK(tolerance::difference(last, expected, magnitudes, tolerance::kAttention) == "");
}

TEST_CASE("attention: ALiBi stays exact far from the start") {
  // Scores near 60,000 in f32 would be 0.004 apart; the weights need them apart by 0.0001.
  const Case shape{.heads = 1, .kv_heads = 1, .head_dim = 4, .positions = 60001, .alibi = true};
  const Problem problem(shape, DType::kF32, {60000});
  check_against_reference(open_levels(1), problem);
}

TEST_CASE("attention: what a later token stores does not reach an earlier one") {
  for (const std::string& level : levels()) {
    const auto backend = open_level(level, 1);
    for (const int64_t head_dim : {20, 64}) {
      const Case shape{.heads = 4, .kv_heads = 2, .head_dim = head_dim, .positions = 100};
      for (const DType type : kTypes) {
        Problem problem(shape, type, rising(40, 30), std::vector<int32_t>(30, 0));
        const auto before = problem.run(*backend);
        for (const float bad : {kNaN, kInfinity, -kInfinity}) {
          for (const float key : {bad, 1.0f}) {  // in the values alone, too
            const std::vector<float> k(2 * head_dim, key), v(2 * head_dim, bad);
            problem.store(reference(), k.data(), v.data(), {0}, {60});
            const auto after = problem.run(*backend);
            CHECK(tolerance::class_difference(after, problem.run(reference())) == "");
            const size_t unharmed = 20 * problem.width();
            CHECK(tolerance::same_bytes(std::span(after).first(unharmed),
                                        std::span(before).first(unharmed)));
          }
        }
      }
    }
  }
}

TEST_CASE("attention: one value that is not finite reaches its own element alone") {
  const Case shape{.heads = 3, .kv_heads = 1, .head_dim = 64, .positions = 90};
  for (const std::string& level : levels()) {
    const auto backend = open_level(level, 1);
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      Problem problem(shape, type, rising(30, 50), std::vector<int32_t>(50, 0));
      const auto k = normal_floats(64, 4);
      auto v = normal_floats(64, 5);
      v[37] = -kInfinity;
      problem.store(reference(), k.data(), v.data(), {0}, {20});
      const auto actual = problem.run(*backend);
      CHECK(tolerance::class_difference(actual, problem.run(reference())) == "");
      for (size_t i = 0; i < actual.size(); ++i) CHECK(std::isinf(actual[i]) == (i % 64 == 37));
    }
  }
}

TEST_CASE("attention: NaN and infinite scores") {
  for (const std::string& level : levels()) {
    const auto backend = open_level(level, 1);
    for (const int64_t head_dim : {4, 32}) check_infinite_scores(*backend, head_dim);
  }
}

TEST_CASE("kv_store: the bytes of the reference, each token in its slot, nothing else touched") {
  const Case shape{.heads = 3, .kv_heads = 3, .head_dim = 37, .positions = 40};
  std::vector<float> k = normal_floats(3 * 3 * 37, 5), v = normal_floats(3 * 3 * 37, 6);
  v[40] = kInfinity;
  k[3] = 1e-42f;
  for (const std::string& level : levels()) {
    const auto backend = open_level(level, 2);
    for (const DType type : kTypes) {
      Problem actual(shape, type, {}), expected(shape, type, {});
      const auto untouched = actual.keys;
      actual.store(*backend, k.data(), v.data(), {1, 0, 1}, {0, 39, 16});
      expected.store(reference(), k.data(), v.data(), {1, 0, 1}, {0, 39, 16});
      CHECK(actual.keys == expected.keys);
      CHECK(actual.values == expected.values);
      size_t changed = 0;
      for (size_t i = 0; i < untouched.size(); ++i) changed += untouched[i] != actual.keys[i];
      CHECK(changed > 0);
      CHECK(changed <= static_cast<size_t>(9 * kv_vector_bytes(type, shape.head_dim)));
    }
  }
}
