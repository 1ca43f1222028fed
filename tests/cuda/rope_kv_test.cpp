// Rotation and the cache on the CUDA backend, against the reference.
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/kv_tile.h"
#include "tests/cuda/fixture.h"

using namespace hone;

namespace {

constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kI8};

std::vector<double> frequencies(int64_t rotary) {
  std::vector<double> values;
  for (int64_t i = 0; i < rotary / 2; ++i) {
    values.push_back(
        std::pow(500000.0, -2.0 * static_cast<double>(i) / static_cast<double>(rotary)));
  }
  return values;
}

// For each element |a| + |b| of its pair.
std::vector<double> pair_magnitudes(const std::vector<float>& x, int64_t head_dim, int64_t rotary,
                                    double factor) {
  std::vector<double> magnitudes(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const auto e = static_cast<int64_t>(i) % head_dim;
    const int64_t half = rotary / 2;
    const int64_t other = e < half ? half : e < rotary ? -half : 0;
    magnitudes[i] = (std::abs(x[i]) + std::abs(x[i + other])) * factor;
  }
  return magnitudes;
}

struct Rotation {
  int64_t heads;
  int64_t head_dim;
  int64_t rotary;
  double factor = 1;
};

void check_rope(const Rotation& c, const std::vector<int32_t>& positions) {
  const auto tokens = static_cast<int64_t>(positions.size());
  const auto x = normal_floats(tokens * c.heads * c.head_dim, 1);
  const auto inv_freq = frequencies(c.rotary);
  RopeArgs args{.x = nullptr,
                .positions = positions.data(),
                .inv_freq = inv_freq.data(),
                .tokens = tokens,
                .heads = c.heads,
                .head_dim = c.head_dim,
                .rotary = c.rotary,
                .attention_factor = c.factor};
  std::vector<float> expected = x;
  args.x = expected.data();
  reference().run.rope(args);

  const auto on_device = upload(x);
  const auto places = upload_constant(positions);
  const auto table = upload_constant(inv_freq);
  args.x = on_device.get();
  args.positions = places.get();
  args.inv_freq = table.get();
  device().run.rope(args);
  CHECK(tolerance::difference(on_device.download(), expected,
                              pair_magnitudes(x, c.head_dim, c.rotary, c.factor),
                              tolerance::kRope) == "");
}

// A cache of two sequences in which every bit is set: NaN, or for int8 the scale NaN.
struct Cache {
  DType type;
  int64_t kv_heads, head_dim, capacity;
  std::vector<std::byte> blank() const {
    return std::vector<std::byte>(kv_tile_offset(type, head_dim, capacity, 2 * kv_heads, 0),
                                  std::byte{0xff});
  }
  // What the device's rows hold: kernels/cuda/kv_cache.cuh.
  std::vector<float> decode(const std::vector<std::byte>& bytes, int64_t row, int64_t position,
                            bool padding) const {
    const std::byte* const tile =
        bytes.data() + kv_tile_offset(type, head_dim, capacity, row, position);
    const int64_t width = kv_width(head_dim);
    const int64_t slot = position % kKvTile;
    std::vector<float> values(width);
    decode_row(type, tile + slot * width * info(type).block_bytes, width, values.data());
    float scale = 1;
    if (type == DType::kI8) std::memcpy(&scale, tile + kKvTile * width + slot * 4, sizeof scale);
    for (float& v : values) v *= scale;
    if (!padding) values.resize(head_dim);
    return values;
  }
};

// The tokens of one step: sequence and position of each.
struct Step {
  std::vector<int32_t> sequences, positions;
  int64_t tokens() const { return static_cast<int64_t>(positions.size()); }
};

KvStoreArgs store_args(const Cache& cache, const Step& step) {
  return {.k = nullptr,
          .v = nullptr,
          .keys = nullptr,
          .values = nullptr,
          .type = cache.type,
          .sequences = step.sequences.data(),
          .positions = step.positions.data(),
          .tokens = step.tokens(),
          .kv_heads = cache.kv_heads,
          .head_dim = cache.head_dim,
          .capacity = cache.capacity};
}

// What a step stores and rotates, before it does; norms: of [head_dim], or none.
struct Heads {
  std::vector<float> q, k, v;
  int64_t rotary = 0;
  std::vector<float> norm_q = {}, norm_k = {};
};

constexpr double kEps = 1e-6;

struct Stored {
  std::vector<std::byte> keys, values;
  std::vector<float> q, k;
};

// The device's kv_store, or rope of q and k and kv_store, in one pass or three.
Stored store_on_device(const Cache& cache, const Step& step, const Heads& heads, bool fused) {
  const int64_t rotary = heads.rotary;
  const auto sequences = upload_constant(step.sequences);
  const auto positions = upload_constant(step.positions);
  const auto table = upload_constant(frequencies(rotary));
  const auto norm_q = upload_constant(heads.norm_q);
  const auto norm_k = upload_constant(heads.norm_k);
  const auto queries = upload(heads.q);
  const auto keys = upload(heads.k);
  const auto values = upload(heads.v);
  const auto key_cache = upload(cache.blank());
  const auto value_cache = upload(cache.blank());
  KvStoreArgs store = store_args(cache, step);
  store.k = keys.get();
  store.v = values.get();
  store.keys = key_cache.get();
  store.values = value_cache.get();
  store.sequences = sequences.get();
  store.positions = positions.get();
  RopeArgs rope_k{.x = keys.get(),
                  .positions = positions.get(),
                  .inv_freq = table.get(),
                  .tokens = step.tokens(),
                  .heads = cache.kv_heads,
                  .head_dim = cache.head_dim,
                  .rotary = rotary};
  RopeArgs rope_q = rope_k;
  rope_q.x = queries.get();
  rope_q.heads = static_cast<int64_t>(heads.q.size()) / step.tokens() / cache.head_dim;
  if (fused) {
    RopeKvStoreArgs args{.rope_q = rope_q, .rope_k = rope_k, .store = store};
    if (!heads.norm_q.empty()) args.norm_q = {.weight = norm_q.get(), .eps = kEps};
    if (!heads.norm_k.empty()) args.norm_k = {.weight = norm_k.get(), .eps = kEps};
    device().run.rope_kv_store(args);
  } else {
    if (rotary > 0) device().run.rope(rope_q);
    if (rotary > 0) device().run.rope(rope_k);
    device().run.kv_store(store);
  }
  return {key_cache.download(), value_cache.download(), queries.download(), keys.download()};
}

}  // namespace

TEST_CASE("cuda rope: heads of many sizes, positions far out") {
  const std::vector<int32_t> positions = {0, 1, 2, 3, 7, 100, 4095, 100000, 131071, 1000003};
  const Rotation cases[] = {{1, 2, 2},         {3, 8, 4},     {1, 20, 10},
                            {9, 64, 64},       {2, 80, 32},   {8, 128, 128},
                            {2, 96, 96, 1.19}, {1, 256, 256}, {17, 33, 32}};
  in_every_order([&] {
    for (const Rotation& c : cases) {
      CAPTURE(c.head_dim);
      check_rope(c, positions);
    }
  });
}

TEST_CASE("cuda kv_store: the numbers of the reference in rows, nothing else touched") {
  const Step step{{1, 0, 1, 0}, {0, 39, 16, 15}};
  for (const DType type : kTypes) {
    for (const int64_t head_dim : {1, 15, 16, 17, 37, 64, 80, 128, 255, 256}) {
      CAPTURE(kv_type_name(type));
      CAPTURE(head_dim);
      const Cache cache{type, 3, head_dim, 48};
      auto k = normal_floats(step.tokens() * 3 * head_dim, 5);
      auto v = normal_floats(step.tokens() * 3 * head_dim, 6);
      v[2 * head_dim] = kInfinity;
      k[head_dim] = 1e-42f;
      const auto stored = store_on_device(cache, step, {.q = k, .k = k, .v = v}, false);
      std::vector<std::byte> keys = cache.blank(), values = cache.blank();
      KvStoreArgs args = store_args(cache, step);
      args.k = k.data();
      args.v = v.data();
      args.keys = keys.data();
      args.values = values.data();
      reference().run.kv_store(args);

      size_t changed = 0;
      for (size_t i = 0; i < keys.size(); ++i) changed += stored.keys[i] != std::byte{0xff};
      CHECK(changed > 0);
      CHECK(changed <= static_cast<size_t>(12 * kv_vector_bytes(type, kv_width(head_dim))));
      std::vector<float> expected(head_dim);
      for (int64_t t = 0; t < step.tokens(); ++t) {
        for (int64_t h = 0; h < 3; ++h) {
          const int64_t row = step.sequences[t] * 3 + h;
          const int64_t at = step.positions[t];
          const int64_t tile = kv_tile_offset(type, head_dim, 48, row, at);
          decode_key(type, keys.data() + tile, head_dim, at % kKvTile, expected.data());
          CHECK(tolerance::same_bytes(cache.decode(stored.keys, row, at, false), expected));
          decode_value(type, values.data() + tile, head_dim, at % kKvTile, expected.data());
          const auto actual = cache.decode(stored.values, row, at, false);
          CHECK(tolerance::class_difference(actual, expected) == "");
          if (std::isfinite(expected[0])) CHECK(tolerance::same_bytes(actual, expected));
          const auto padded = cache.decode(stored.keys, row, at, true);
          for (size_t e = head_dim; e < padded.size(); ++e) CHECK(padded[e] == 0);
        }
      }
    }
  }
}

TEST_CASE("cuda rope_kv_store: the bytes of rope, rope and kv_store") {
  const Step step{{0, 0, 1}, {17, 18, 3}};
  in_every_order([&] {
    for (const DType type : kTypes) {
      for (const int64_t head_dim : {8, 20, 64, 128}) {
        for (const int64_t heads : {2, 7, 32}) {
          CAPTURE(kv_type_name(type));
          CAPTURE(head_dim);
          const Cache cache{type, 2, head_dim, 32};
          const Heads all{.q = normal_floats(3 * heads * head_dim, 7),
                          .k = normal_floats(3 * 2 * head_dim, 8),
                          .v = normal_floats(3 * 2 * head_dim, 9),
                          .rotary = head_dim == 20 ? 10 : head_dim};
          const auto one = store_on_device(cache, step, all, true);
          const auto three = store_on_device(cache, step, all, false);
          CHECK(one.keys == three.keys);
          CHECK(one.values == three.values);
          CHECK(tolerance::same_bytes(one.q, three.q));
          CHECK(tolerance::same_bytes(one.k, three.k));
        }
      }
    }
  });
}

namespace {

// Normalised and turned on the reference; `magnitudes`: |a| + |b| of each pair that turned.
std::vector<float> on_reference(const Rotation& c, const Step& step, std::vector<float> x,
                                const std::vector<float>& norm, std::vector<double>* magnitudes) {
  const auto inv_freq = frequencies(c.rotary);
  reference().run.rms_norm({.x = x.data(),
                            .weight = norm.data(),
                            .out = x.data(),
                            .rows = step.tokens() * c.heads,
                            .dim = c.head_dim,
                            .eps = kEps});
  *magnitudes = pair_magnitudes(x, c.head_dim, c.rotary, 1);
  reference().run.rope({.x = x.data(),
                        .positions = step.positions.data(),
                        .inv_freq = inv_freq.data(),
                        .tokens = step.tokens(),
                        .heads = c.heads,
                        .head_dim = c.head_dim,
                        .rotary = c.rotary});
  return x;
}

}  // namespace

TEST_CASE("cuda rope_kv_store: heads of queries and keys are normalised before they turn") {
  const Step step{{0, 0, 1}, {17, 18, 3}};
  in_every_order([&] {
    for (const int64_t head_dim : {8, 20, 31, 32, 33, 64, 128, 256}) {
      CAPTURE(head_dim);
      const int64_t rotary = head_dim == 20 ? 10 : head_dim / 2 * 2;
      const Cache cache{DType::kF16, 2, head_dim, 32};
      const Heads all{.q = normal_floats(3 * 7 * head_dim, 1, 40),
                      .k = normal_floats(3 * 2 * head_dim, 2, 1e-3f),
                      .v = normal_floats(3 * 2 * head_dim, 3),
                      .rotary = rotary,
                      .norm_q = normal_floats(head_dim, 4),
                      .norm_k = normal_floats(head_dim, 5)};
      const auto actual = store_on_device(cache, step, all, true);
      std::vector<double> of_q, of_k;
      const auto q = on_reference({7, head_dim, rotary}, step, all.q, all.norm_q, &of_q);
      const auto k = on_reference({2, head_dim, rotary}, step, all.k, all.norm_k, &of_k);
      constexpr double kBoth = tolerance::kNorm + tolerance::kRope;
      CHECK(tolerance::difference(actual.q, q, of_q, kBoth) == "");
      CHECK(tolerance::difference(actual.k, k, of_k, kBoth) == "");
      // The cache has what came out.
      const auto stored = store_on_device(cache, step, {.q = q, .k = actual.k, .v = all.v}, false);
      CHECK(actual.keys == stored.keys);
      CHECK(actual.values == stored.values);
    }
  });
}
