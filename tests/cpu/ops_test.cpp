// Norms, rotations, attention and elementwise ops on every dispatch level, against the reference.
#include <cmath>

#include "tests/cpu/fixture.h"
#include "tests/support/tolerances.h"
// Last: its CHECK.
#include "tests/support/doctest.h"

using namespace hone;

namespace {

// Around the lanes of every vector, in f32 and in double.
constexpr int64_t kDims[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 100, 769};

std::vector<double> absolute(const std::vector<float>& values) {
  std::vector<double> out;
  for (const float v : values) out.push_back(std::abs(v));
  return out;
}

constexpr Activation kActivations[] = {Activation::kNone, Activation::kSilu, Activation::kGelu,
                                       Activation::kGeluTanh};

struct Normed {
  std::vector<float> out;
  std::vector<float> sum;
};

Normed rms(Backend& b, const std::vector<float>& x, const std::vector<float>* residual,
           const std::vector<float>& weight) {
  const int64_t dim = static_cast<int64_t>(weight.size());
  Normed n{poisoned(x.size()), poisoned(x.size())};
  RmsNormArgs args{.x = x.data(),
                   .weight = weight.data(),
                   .out = n.out.data(),
                   .rows = static_cast<int64_t>(x.size()) / dim,
                   .dim = dim,
                   .eps = 1e-5};
  if (residual) args.residual = residual->data(), args.sum = n.sum.data();
  b.run.rms_norm(args);
  return n;
}

Normed layer(Backend& b, const std::vector<float>& x, const std::vector<float>* residual,
             const std::vector<float>& weight, const std::vector<float>* bias) {
  const int64_t dim = static_cast<int64_t>(weight.size());
  Normed n{poisoned(x.size()), poisoned(x.size())};
  LayerNormArgs args{.x = x.data(),
                     .weight = weight.data(),
                     .bias = bias ? bias->data() : nullptr,
                     .out = n.out.data(),
                     .rows = static_cast<int64_t>(x.size()) / dim,
                     .dim = dim,
                     .eps = 1e-5};
  if (residual) args.residual = residual->data(), args.sum = n.sum.data();
  b.run.layer_norm(args);
  return n;
}

}  // namespace

TEST_CASE("activations: all of the range, within a few ulp of |x|") {
  std::vector<float> x;
  for (float v = -130; v < 130; v += 0.0137f) x.push_back(v);
  for (float v = 1e-30f; v < 1e30f; v *= 7) x.push_back(v), x.push_back(-v);
  for (const std::string& level : levels()) {
    const auto backend = open_level(level, 2);
    for (const Activation activation : kActivations) {
      std::vector<float> out = poisoned(x.size()), expected = poisoned(x.size());
      UnaryArgs args{.x = x.data(),
                     .out = out.data(),
                     .count = static_cast<int64_t>(x.size()),
                     .activation = activation};
      backend->run.unary(args);
      args.out = expected.data();
      reference().run.unary(args);
      CHECK(tolerance::difference(out, expected, absolute(x), tolerance::kActivation) == "");
    }
    const std::vector<float> bad = {kNaN, kInfinity, -kInfinity, 0.0f, -0.0f, 1.0f, kNaN};
    for (const Activation activation : kActivations) {
      std::vector<float> out(bad.size()), expected(bad.size());
      UnaryArgs args{.x = bad.data(), .out = out.data(), .count = 7, .activation = activation};
      backend->run.unary(args);
      args.out = expected.data();
      reference().run.unary(args);
      CHECK(tolerance::class_difference(out, expected) == "");
    }
  }
}

TEST_CASE("elementwise: every length, in place too") {
  for (const std::string& level : levels()) {
    const auto backend = open_level(level, 2);
    for (const int64_t n : {1, 2, 3, 4, 5, 8, 15, 16, 17, 33, 16383, 16384, 16385, 40000}) {
      const std::vector<float> a = normal_floats(n, 1), b = normal_floats(n, 2);
      std::vector<float> out = poisoned(n), expected(n);
      for (int64_t i = 0; i < n; ++i) expected[i] = a[i] + b[i];
      backend->run.add({.a = a.data(), .b = b.data(), .out = out.data(), .count = n});
      CHECK(tolerance::same_bytes(out, expected));
      for (int64_t i = 0; i < n; ++i) expected[i] = a[i] * b[i];
      out = a;
      backend->run.mul({.a = out.data(), .b = b.data(), .out = out.data(), .count = n});
      CHECK(tolerance::same_bytes(out, expected));
      out = poisoned(n);
      const GatedActivationArgs gated{.gate = a.data(),
                                      .up = b.data(),
                                      .out = out.data(),
                                      .count = n,
                                      .activation = Activation::kGeluTanh};
      backend->run.gated_activation(gated);
      GatedActivationArgs again = gated;
      again.out = expected.data();
      reference().run.gated_activation(again);
      std::vector<double> magnitudes(n);
      for (int64_t i = 0; i < n; ++i) magnitudes[i] = std::abs(double{a[i]} * b[i]);
      CHECK(tolerance::difference(out, expected, magnitudes, tolerance::kActivation) == "");
    }
    for (const int64_t dim : kDims) {
      const std::vector<float> x = normal_floats(3 * dim, 1), bias = normal_floats(dim, 2);
      std::vector<float> out = poisoned(3 * dim), expected(3 * dim);
      for (int64_t i = 0; i < 3 * dim; ++i) expected[i] = x[i] + bias[i % dim];
      backend->run.add_bias(
          {.x = x.data(), .bias = bias.data(), .out = out.data(), .rows = 3, .dim = dim});
      CHECK(tolerance::same_bytes(out, expected));
      const int32_t rows[] = {2, 0, 2, 1};
      std::vector<float> gathered = poisoned(4 * dim);
      backend->run.gather_rows(
          {.x = x.data(), .rows = rows, .out = gathered.data(), .count = 4, .dim = dim});
      for (int64_t i = 0; i < 4 * dim; ++i) {
        CHECK(gathered[i] == x[rows[i / dim] * dim + i % dim]);
      }
    }
  }
}

TEST_CASE("rms_norm: every length, residual, in place, one thread or many") {
  for (const std::string& level : levels()) {
    const auto backend = open_level(level, 1);
    const auto many = open_level(level, 3);
    for (const int64_t dim : kDims) {
      const std::vector<float> x = normal_floats(50 * dim, 1),
                               residual = normal_floats(50 * dim, 2);
      const std::vector<float> weight = normal_floats(dim, 3);
      for (const std::vector<float>* add : {(const std::vector<float>*)nullptr, &residual}) {
        const Normed actual = rms(*backend, x, add, weight);
        const Normed expected = rms(reference(), x, add, weight);
        CHECK(tolerance::difference(actual.out, expected.out, absolute(expected.out),
                                    tolerance::kNorm) == "");
        if (add) CHECK(tolerance::same_bytes(actual.sum, expected.sum));
        CHECK(tolerance::same_bytes(actual.out, rms(*many, x, add, weight).out));
      }
      std::vector<float> in_place = x;
      backend->run.rms_norm({.x = in_place.data(),
                             .weight = weight.data(),
                             .out = in_place.data(),
                             .rows = 50,
                             .dim = dim,
                             .eps = 1e-5});
      CHECK(tolerance::same_bytes(in_place, rms(*backend, x, nullptr, weight).out));
    }
  }
}

TEST_CASE("norms: the sum may lie over the residual") {
  const auto backend = open_level(levels().front(), 1);
  const std::vector<float> x = normal_floats(2 * 24, 1), weight = normal_floats(24, 2);
  std::vector<float> residual = normal_floats(2 * 24, 3);
  const Normed apart = rms(*backend, x, &residual, weight);
  std::vector<float> out = poisoned(48);
  backend->run.rms_norm({.x = x.data(),
                         .weight = weight.data(),
                         .out = out.data(),
                         .rows = 2,
                         .dim = 24,
                         .eps = 1e-5,
                         .residual = residual.data(),
                         .sum = residual.data()});
  CHECK(tolerance::same_bytes(out, apart.out));
  CHECK(tolerance::same_bytes(residual, apart.sum));
}

TEST_CASE("layer_norm: every length, residual, bias, and means far from zero") {
  for (const std::string& level : levels()) {
    const auto backend = open_level(level, 2);
    for (const int64_t dim : kDims) {
      for (const float offset : {0.0f, 1000.0f}) {
        std::vector<float> x = normal_floats(3 * dim, 1);
        for (float& v : x) v += offset;
        const std::vector<float> residual = normal_floats(3 * dim, 2);
        const std::vector<float> weight = normal_floats(dim, 3), bias = normal_floats(dim, 4);
        for (const std::vector<float>* add : {(const std::vector<float>*)nullptr, &residual}) {
          for (const std::vector<float>* plus : {(const std::vector<float>*)nullptr, &bias}) {
            const Normed actual = layer(*backend, x, add, weight, plus);
            const Normed expected = layer(reference(), x, add, weight, plus);
            std::vector<double> magnitudes = absolute(expected.out);
            for (int64_t i = 0; i < 3 * dim; ++i) {
              magnitudes[i] +=
                  2 * (plus ? std::abs(bias[i % dim]) : 0) + std::abs(weight[i % dim]) * 1e-3;
            }
            CHECK(tolerance::difference(actual.out, expected.out, magnitudes, tolerance::kNorm) ==
                  "");
          }
        }
      }
    }
  }
}

TEST_CASE("norms: a NaN or an infinity spoils its row and no other") {
  for (const std::string& level : levels()) {
    const auto backend = open_level(level, 1);
    for (const float bad : {kNaN, kInfinity}) {
      for (const int64_t at : {0, 18}) {
        std::vector<float> x = normal_floats(2 * 19, 1);
        x[19 + at] = bad;
        const std::vector<float> weight = normal_floats(19, 2);
        CHECK(tolerance::class_difference(rms(*backend, x, nullptr, weight).out,
                                          rms(reference(), x, nullptr, weight).out) == "");
        CHECK(tolerance::class_difference(layer(*backend, x, nullptr, weight, nullptr).out,
                                          layer(reference(), x, nullptr, weight, nullptr).out) ==
              "");
      }
    }
  }
}

TEST_CASE("rope: partial rotations, far positions") {
  for (const std::string& level : levels()) {
    const auto backend = open_level(level, 2);
    for (const int64_t rotary : {0, 2, 6, 8, 16, 30, 32, 34, 64, 130, 256}) {
      for (const int64_t head_dim : {rotary, rotary + 5}) {
        if (head_dim == 0) continue;
        const int64_t tokens = 7, heads = 3;
        std::vector<double> inv_freq(rotary / 2);
        for (size_t i = 0; i < inv_freq.size(); ++i) {
          inv_freq[i] = std::pow(10000.0, -2.0 * static_cast<double>(i) / rotary);
        }
        const int32_t positions[] = {0, 1, 2, 1, 100, 100000, 2000000};
        const std::vector<float> x = normal_floats(tokens * heads * head_dim, 1);
        std::vector<float> actual = x, expected = x;
        RopeArgs args{.x = actual.data(),
                      .positions = positions,
                      .inv_freq = inv_freq.data(),
                      .tokens = tokens,
                      .heads = heads,
                      .head_dim = head_dim,
                      .rotary = rotary,
                      .attention_factor = 1.25};
        backend->run.rope(args);
        args.x = expected.data();
        reference().run.rope(args);
        std::vector<double> magnitudes(x.size(), 0.0);
        for (size_t i = 0; i < x.size(); ++i) {
          const int64_t within = static_cast<int64_t>(i) % head_dim;
          if (within >= rotary) continue;
          const int64_t half = rotary / 2;
          const size_t other = within < half ? i + half : i - half;
          magnitudes[i] = 1.25 * (std::abs(x[i]) + std::abs(x[other]));
        }
        CHECK(tolerance::difference(actual, expected, magnitudes, tolerance::kRope) == "");
      }
    }
  }
}

TEST_CASE("rope_kv_store: the bytes of its parts, with norms of heads and without") {
  constexpr int64_t kTokens = 3, kHeads = 4, kKvHeads = 2, kDim = 10, kCapacity = 32;
  const int32_t positions[] = {0, 5, 17}, sequences[] = {0, 0, 0};
  const double inv_freq[] = {1, 0.3, 0.1, 0.03, 0.01};
  const std::vector<float> norm = normal_floats(kDim, 3);
  const std::vector<float> v = normal_floats(kTokens * kKvHeads * kDim, 4);
  for (const std::string& level : levels()) {
    const auto backend = open_level(level, 2);
    for (const bool normalises : {false, true}) {
      std::vector<float> q = normal_floats(kTokens * kHeads * kDim, 1);
      std::vector<float> k = normal_floats(kTokens * kKvHeads * kDim, 2);
      std::vector<float> q_parts = q, k_parts = k;
      const auto bytes = kv_tile_offset(DType::kF32, kDim, kCapacity, kKvHeads, 0);
      std::vector<std::byte> keys(bytes), values(bytes), key_parts(bytes), value_parts(bytes);
      RopeArgs rope_q{.x = q.data(),
                      .positions = positions,
                      .inv_freq = inv_freq,
                      .tokens = kTokens,
                      .heads = kHeads,
                      .head_dim = kDim,
                      .rotary = kDim};
      RopeArgs rope_k = rope_q;
      rope_k.x = k.data();
      rope_k.heads = kKvHeads;
      KvStoreArgs store{.k = k.data(),
                        .v = v.data(),
                        .keys = keys.data(),
                        .values = values.data(),
                        .type = DType::kF32,
                        .sequences = sequences,
                        .positions = positions,
                        .tokens = kTokens,
                        .kv_heads = kKvHeads,
                        .head_dim = kDim,
                        .capacity = kCapacity};
      InputNorm of_heads;
      if (normalises) of_heads = {.weight = norm.data(), .eps = 1e-6};
      backend->run.rope_kv_store({.rope_q = rope_q,
                                  .rope_k = rope_k,
                                  .store = store,
                                  .norm_q = of_heads,
                                  .norm_k = of_heads});

      rope_q.x = q_parts.data();
      rope_k.x = k_parts.data();
      for (const RopeArgs& heads : {rope_q, rope_k}) {
        if (normalises) {
          backend->run.rms_norm({.x = heads.x,
                                 .weight = norm.data(),
                                 .out = heads.x,
                                 .rows = kTokens * heads.heads,
                                 .dim = kDim,
                                 .eps = 1e-6});
        }
        backend->run.rope(heads);
      }
      store.k = k_parts.data();
      store.keys = key_parts.data();
      store.values = value_parts.data();
      backend->run.kv_store(store);
      CHECK(tolerance::same_bytes(q, q_parts));
      CHECK(tolerance::same_bytes(k, k_parts));
      CHECK(keys == key_parts);
      CHECK(values == value_parts);
    }
  }
}
