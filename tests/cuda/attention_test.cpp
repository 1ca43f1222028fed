// Attention on the CUDA backend, against the reference. Its own kv_store fills its cache.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <vector>

#include "kernels/cuda/attention.cuh"
#include "kernels/kv_tile.h"
// Last: doctest.
#include "tests/cuda/fixture.h"

using namespace hone;

namespace {

constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kI8};

struct Case {
  int64_t heads;
  int64_t kv_heads;
  int64_t head_dim;
  int64_t positions = 130;  // cached, of each of two sequences
  int64_t window = 0;
  bool alibi = false;
  double scale = 0.2;
};

std::vector<int32_t> rising(int32_t first, int32_t count) {
  std::vector<int32_t> positions(count);
  std::iota(positions.begin(), positions.end(), first);
  return positions;
}

// Bytes of two caches, on the host.
struct Caches {
  std::vector<std::byte> keys, values;
};

void store(Backend& backend, const Case& c, DType type, int64_t capacity, Caches& caches,
           const std::vector<float>& k, const std::vector<float>& v, const std::vector<int32_t>& of,
           const std::vector<int32_t>& at) {
  KvStoreArgs args{.k = k.data(),
                   .v = v.data(),
                   .keys = caches.keys.data(),
                   .values = caches.values.data(),
                   .type = type,
                   .sequences = of.data(),
                   .positions = at.data(),
                   .tokens = static_cast<int64_t>(at.size()),
                   .kv_heads = c.kv_heads,
                   .head_dim = c.head_dim,
                   .capacity = capacity};
  if (backend.shares_host_memory()) return backend.run.kv_store(args);
  const auto device_k = upload(k);
  const auto device_v = upload(v);
  const auto sequences = upload_constant(of);
  const auto positions = upload_constant(at);
  const auto keys = upload(caches.keys);
  const auto values = upload(caches.values);
  args.k = device_k.get();
  args.v = device_v.get();
  args.keys = keys.get();
  args.values = values.get();
  args.sequences = sequences.get();
  args.positions = positions.get();
  backend.run.kv_store(args);
  caches = {keys.download(), values.download()};
}

// Two sequences whose caches hold random keys and values up to `positions`, and NaN behind; once as
// the reference and once as the device has them.
struct Problem {
  Case shape;
  DType type;
  int64_t capacity;
  std::vector<int32_t> sequences;
  std::vector<int32_t> positions;
  std::vector<float> q, slopes;
  Caches on_host, on_device;

  Problem(const Case& c, DType element, std::vector<int32_t> at, std::vector<int32_t> of = {},
          uint32_t seed = 1)
      : shape(c),
        type(element),
        capacity(kv_capacity(c.positions)),
        sequences(std::move(of)),
        positions(std::move(at)) {
    for (size_t i = sequences.size(); i < positions.size(); ++i) {
      sequences.push_back(i % 2 == 0 ? 1 : 0);
    }
    q = normal_floats(tokens() * c.heads * c.head_dim, seed);
    for (int64_t h = 0; h < c.heads; ++h) slopes.push_back(1.0f / static_cast<float>(2 << (h % 8)));
    on_host.keys.resize(kv_tile_offset(type, c.head_dim, capacity, 2 * c.kv_heads, 0),
                        std::byte{0xff});
    on_host.values = on_host.keys;  // all bits set: NaN, or for int8 the scale NaN
    on_device = on_host;
    fill(seed);
  }

  int64_t tokens() const { return static_cast<int64_t>(positions.size()); }
  int64_t width() const { return shape.heads * shape.head_dim; }

  void fill(uint32_t seed) {
    const auto k = normal_floats(shape.positions * shape.kv_heads * shape.head_dim * 2, seed + 1);
    const auto v = normal_floats(static_cast<int64_t>(k.size()), seed + 2);
    std::vector<int32_t> every_sequence, every_position;
    for (int32_t sequence : {0, 1}) {
      for (int32_t p = 0; p < shape.positions; ++p) {
        every_sequence.push_back(sequence);
        every_position.push_back(p);
      }
    }
    put(k, v, every_sequence, every_position);
  }
  void put(const std::vector<float>& k, const std::vector<float>& v, const std::vector<int32_t>& of,
           const std::vector<int32_t>& at) {
    store(reference(), shape, type, capacity, on_host, k, v, of, at);
    store(device(), shape, type, capacity, on_device, k, v, of, at);
  }

  AttentionArgs args(int64_t begin, int64_t end) const {
    return {.q = q.data() + begin * width(),
            .keys = on_host.keys.data(),
            .values = on_host.values.data(),
            .type = type,
            .out = nullptr,
            .sequences = sequences.data() + begin,
            .positions = positions.data() + begin,
            .tokens = end - begin,
            .heads = shape.heads,
            .kv_heads = shape.kv_heads,
            .head_dim = shape.head_dim,
            .capacity = capacity,
            .scale = shape.scale,
            .window = shape.window,
            .alibi_slopes = shape.alibi ? slopes.data() : nullptr};
  }

  std::vector<float> expected() const {
    std::vector<float> out = poisoned(tokens() * width());
    AttentionArgs a = args(0, tokens());
    a.out = out.data();
    reference().run.attention(a);
    return out;
  }

  // Tokens [begin, end). What this step would store is marked as written by the kernel ahead.
  std::vector<float> actual(int64_t begin, int64_t end) const {
    AttentionArgs a = args(begin, end);
    const auto keys = upload_constant(on_device.keys);
    const auto values = upload_constant(on_device.values);
#ifndef __CUDACC__
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t h = 0; h < shape.kv_heads; ++h) {
        const int64_t row = kv_width(shape.head_dim) * info(type).block_bytes;
        const int64_t at = kv_tile_offset(type, shape.head_dim, capacity,
                                          sequences[t] * shape.kv_heads + h, positions[t]) +
                           positions[t] % kKvTile * row;
        simt::emu::check::written_by_kernel(keys.get() + at, row);
        simt::emu::check::written_by_kernel(values.get() + at, row);
      }
    }
#endif
    const auto queries =
        upload(std::vector<float>(q.begin() + begin * width(), q.begin() + end * width()));
    const auto of =
        upload_constant(std::vector<int32_t>(sequences.begin() + begin, sequences.begin() + end));
    const auto at =
        upload_constant(std::vector<int32_t>(positions.begin() + begin, positions.begin() + end));
    const auto all_slopes = upload_constant(slopes);
    const auto out = unwritten((end - begin) * width());
    a.q = queries.get();
    a.keys = keys.get();
    a.values = values.get();
    a.out = out.get();
    a.sequences = of.get();
    a.positions = at.get();
    if (shape.alibi) a.alibi_slopes = all_slopes.get();
    device().run.attention(a);
    return out.download();
  }
  std::vector<float> actual() const { return actual(0, tokens()); }
};

// Dimensions below, at and above 16 elements and the kernels' 64, 128 and 256; 1 to 14 query heads
// a kv head: 8 are one block of rows.
constexpr Case kCases[] = {
    {.heads = 1, .kv_heads = 1, .head_dim = 1},
    {.heads = 2, .kv_heads = 2, .head_dim = 5},
    {.heads = 4, .kv_heads = 1, .head_dim = 8, .window = 1},
    {.heads = 6, .kv_heads = 2, .head_dim = 15, .window = 65},
    {.heads = 8, .kv_heads = 2, .head_dim = 16},
    {.heads = 4, .kv_heads = 4, .head_dim = 17, .alibi = true},
    {.heads = 14, .kv_heads = 2, .head_dim = 20},
    {.heads = 9, .kv_heads = 1, .head_dim = 63},
    {.heads = 8, .kv_heads = 1, .head_dim = 64, .window = 64, .alibi = true},
    {.heads = 12, .kv_heads = 1, .head_dim = 80, .window = 15},
    {.heads = 2, .kv_heads = 1, .head_dim = 100, .scale = 1.5},
    {.heads = 4, .kv_heads = 1, .head_dim = 128},
    {.heads = 2, .kv_heads = 1, .head_dim = 129},
    {.heads = 2, .kv_heads = 2, .head_dim = 256, .alibi = true},
};

// Around tiles of 16 and ranges of 128 positions.
const std::vector<int32_t> kPositions = {0,  1,  2,  14, 15,  16,  17,  31,
                                         62, 63, 64, 65, 126, 127, 128, 129};

// Values are at most about 4. Rounding moves a score, and so a weight's relative error: in f32 by a
// unit for each of its terms, in f16 by as many as chance adds up.
double magnitude_of(const Case& c, double factor) {
  const double dim = static_cast<double>(c.head_dim);
  if (factor == tolerance::kCudaPrefill) return 4 * (1 + c.scale * std::sqrt(dim));
  const double terms = c.scale * 0.64 * dim;  // mean of |q| |k|
  return 4 * (1 + terms * tolerance::kUlp / factor);
}

void check_against_reference(const Problem& problem, double factor) {
  const auto expected = problem.expected();
  const std::vector<double> magnitudes(expected.size(), magnitude_of(problem.shape, factor));
  CHECK(tolerance::difference(problem.actual(), expected, magnitudes, factor) == "");
}

void check_alone(const Problem& problem) {
  const auto batch = problem.actual();
  for (int64_t t = 0; t < problem.tokens(); ++t) {
    const std::span<const float> in_batch(batch.data() + t * problem.width(), problem.width());
    CHECK(tolerance::same_bytes(problem.actual(t, t + 1), in_batch));
  }
}

}  // namespace

TEST_CASE("cuda attention: grouped heads, windows, slopes, lengths around tiles and ranges") {
  for (const DType type : kTypes) {
    for (const Case& c : kCases) {
      CAPTURE(kv_type_name(type));
      CAPTURE(c.head_dim);
      check_against_reference(Problem(c, type, kPositions), tolerance::kCudaDecode);
    }
  }
}

TEST_CASE("cuda attention: every order of threads gives the same") {
  const Case c{.heads = 4, .kv_heads = 2, .head_dim = 24, .positions = 700};
  for (const DType type : kTypes) {
    const Problem problem(c, type, {3, 130, 699});
    std::vector<float> first;
    in_every_order([&] {
      const auto now = problem.actual();
      if (first.empty()) first = now;
      CHECK(tolerance::same_bytes(first, now));
      check_against_reference(problem, tolerance::kCudaDecode);
    });
  }
}

TEST_CASE("cuda attention: decoding gives the same bytes alone or in a batch") {
  for (const DType type : kTypes) {
    check_alone(Problem({.heads = 8, .kv_heads = 2, .head_dim = 32}, type, kPositions));
  }
}

TEST_CASE("cuda attention: some tokens at a time give the bytes of all at once") {
  const Case c{.heads = 4, .kv_heads = 2, .head_dim = 24, .positions = 700};
  const Problem problem(c, DType::kF16, {699, 3, 130, 698, 697});
  const auto at_once = problem.actual();
  for (const int64_t bytes : {1, 26000}) {  // one, two
    cuda::decode_cut.sum_bytes = bytes;
    CHECK(tolerance::same_bytes(problem.actual(), at_once));
  }
  cuda::decode_cut = {};
}

TEST_CASE("cuda attention: ranges of positions, merged") {
  const Case cases[] = {
      {.heads = 4, .kv_heads = 1, .head_dim = 24, .positions = 1600},
      {.heads = 2, .kv_heads = 2, .head_dim = 16, .positions = 1600, .window = 513},
      {.heads = 8, .kv_heads = 1, .head_dim = 8, .positions = 1600, .window = 700, .alibi = true}};
  for (const DType type : kTypes) {
    for (const Case& c : cases) {
      CAPTURE(kv_type_name(type));
      const Problem problem(c, type, {126, 127, 128, 129, 510, 512, 769, 1023, 1024, 1599});
      check_against_reference(problem, tolerance::kCudaDecode);
    }
  }
}

TEST_CASE("cuda attention: prompts of many lengths, beginning anywhere") {
  for (const DType type : kTypes) {
    const double factor = type == DType::kF32 ? tolerance::kCudaDecode : tolerance::kCudaPrefill;
    for (const Case& c : kCases) {
      CAPTURE(kv_type_name(type));
      CAPTURE(c.head_dim);
      check_against_reference(Problem(c, type, rising(55, 65), std::vector<int32_t>(65, 1)),
                              factor);
    }
    const Case one_head{.heads = 1, .kv_heads = 1, .head_dim = 24};
    for (const int32_t count : {100, 127, 128, 129}) {
      check_against_reference(
          Problem(one_head, type, rising(0, count), std::vector<int32_t>(count, 0)), factor);
    }
  }
}

TEST_CASE("cuda attention: prompts without rounding to 16 bits") {
  const Case c{.heads = 6, .kv_heads = 2, .head_dim = 80, .window = 50, .alibi = true};
  device().set_exact(true);
  for (const DType type : kTypes) {
    CAPTURE(kv_type_name(type));
    check_against_reference(Problem(c, type, rising(40, 90), std::vector<int32_t>(90, 1)),
                            tolerance::kCudaDecode);
  }
  device().set_exact(false);
}

TEST_CASE("cuda attention: prompts of several sequences, and tokens alone, in one step") {
  std::vector<int32_t> positions = rising(100, 40), sequences(40, 0);
  for (const int32_t p : {7, 199, 64}) {
    positions.push_back(p);
    sequences.push_back(static_cast<int32_t>(positions.size() % 2));
  }
  for (const int32_t p : rising(0, 70)) {
    positions.push_back(p);
    sequences.push_back(1);
  }
  for (const DType type : kTypes) {
    CAPTURE(kv_type_name(type));
    const double factor = type == DType::kF32 ? tolerance::kCudaDecode : tolerance::kCudaPrefill;
    for (const int64_t window : {0, 33}) {
      const Case c{.heads = 6, .kv_heads = 2, .head_dim = 40, .positions = 200, .window = window};
      check_against_reference(Problem(c, type, positions, sequences), factor);
    }
  }
}

TEST_CASE("cuda attention: a token's bytes do not depend on the others of its prompt") {
  const Case c{.heads = 3, .kv_heads = 1, .head_dim = 64, .positions = 200};
  for (const DType type : kTypes) {
    const Problem problem(c, type, rising(20, 170), std::vector<int32_t>(170, 1));
    const auto whole = problem.actual();
    const auto part = problem.actual(77, 170);
    CHECK(tolerance::same_bytes(part, std::span(whole).subspan(77 * problem.width())));
  }
}

TEST_CASE("cuda attention: what a later token stores does not reach an earlier one") {
  const Case shape{.heads = 4, .kv_heads = 2, .head_dim = 20, .positions = 200};
  for (const DType type : kTypes) {
    for (const int32_t count : {30, 80}) {
      Problem problem(shape, type, rising(40, count), std::vector<int32_t>(count, 0));
      const auto before = problem.actual();
      for (const float bad : {kNaN, kInfinity, -kInfinity}) {
        CAPTURE(kv_type_name(type));
        CAPTURE(count);
        CAPTURE(bad);
        problem.put(std::vector<float>(40, 0.5f), std::vector<float>(40, bad), {0}, {60});
        const auto after = problem.actual();
        CHECK(tolerance::class_difference(after, problem.expected()) == "");
        const size_t unharmed = 20 * problem.width();
        CHECK(tolerance::same_bytes(std::span(after).first(unharmed),
                                    std::span(before).first(unharmed)));
      }
    }
  }
}

TEST_CASE("cuda attention: ALiBi stays exact far from the start") {
  // Scores near 10,000 in f32 would be 0.001 apart; the weights need them apart by 0.0001.
  const Case shape{.heads = 1, .kv_heads = 1, .head_dim = 4, .positions = 20001, .alibi = true};
  check_against_reference(Problem(shape, DType::kF32, {20000}, {0}), tolerance::kCudaDecode);
}

TEST_CASE("cuda attention: NaN and infinite scores") {
  const Case shape{.heads = 1, .kv_heads = 1, .head_dim = 4, .positions = 150};
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const float bad : {kNaN, kInfinity, -kInfinity}) {
      for (const int32_t key : {0, 5, 63, 64, 140}) {
        CAPTURE(kv_type_name(type));
        CAPTURE(bad);
        Problem problem(shape, type, {141, 141, 3}, {0, 1, 0});
        for (float& v : problem.q) v = std::abs(v);
        problem.put({1, bad, 1, 1}, {1, 2, 3, 4}, {0}, {key});
        const auto actual = problem.actual();
        CHECK(tolerance::class_difference(actual, problem.expected()) == "");
        for (int i = 4; i < 8; ++i) CHECK(std::isfinite(actual[i]));
      }
    }
  }
  Problem nothing(shape, DType::kF32, {100}, {0});  // no key has a finite score
  for (float& v : nothing.q) v = 1;
  const std::vector<float> k(4, -kInfinity), v(4, 1.0f);
  for (int32_t p = 0; p <= 100; ++p) nothing.put(k, v, {0}, {p});
  for (const float x : nothing.actual()) CHECK(std::isnan(x));
}

TEST_CASE("cuda attention: values that are not numbers reach those who see them") {
  const Case shape{.heads = 2, .kv_heads = 1, .head_dim = 20, .positions = 100};
  for (const DType type : kTypes) {
    for (const float bad : {kNaN, kInfinity, -kInfinity}) {
      CAPTURE(kv_type_name(type));
      CAPTURE(bad);
      Problem problem(shape, type, {59, 60, 61}, {0, 0, 0});
      problem.put(std::vector<float>(20, 0.5f), std::vector<float>(20, bad), {0}, {60});
      CHECK(tolerance::class_difference(problem.actual(), problem.expected()) == "");
    }
  }
}
