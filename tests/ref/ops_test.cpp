// The reference backend against cases worked out by hand.
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "kernels/codec/codec.h"
#include "kernels/open.h"
// Last: its CHECK.
#include "tests/support/doctest.h"

using namespace hone;

namespace {

Backend& ref() {
  static const auto backend = [] {
    std::string why;
    return open_backend("ref", 1, &why);
  }();
  return *backend;
}

WeightView f32_view(const std::vector<float>& values, int64_t rows) {
  const int64_t columns = static_cast<int64_t>(values.size()) / rows;
  WeightView view;
  view.payload = reinterpret_cast<const std::byte*>(values.data());
  view.rows = rows;
  view.columns = columns;
  view.row_stride = 4 * columns;
  return view;
}

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
const std::vector<float> kTwoByThree = {1, 2, 3, -1, 0, 4};

doctest::Approx about(double value) { return doctest::Approx(value).epsilon(1e-6); }

}  // namespace

TEST_CASE("matmul: rows are outputs; bias, activation, residual in that order") {
  const std::vector<float> x = {1, 1, 1, 0, 2, -1};
  std::vector<float> out(2 * 4, kNaN);
  ref().run.matmul({.x = x.data(),
                    .weight = f32_view(kTwoByThree, 2),
                    .out = out.data(),
                    .tokens = 2,
                    .out_stride = 4});
  CHECK(out[0] == 6);
  CHECK(out[1] == 3);
  CHECK(std::isnan(out[2]));
  CHECK(out[4] == 1);
  CHECK(out[5] == -4);
  const std::vector<float> bias = {0.5f, -3}, residual = {10, 20, 30, 40};
  ref().run.matmul({.x = x.data(),
                    .weight = f32_view(kTwoByThree, 2),
                    .out = out.data(),
                    .tokens = 2,
                    .bias = bias.data(),
                    .activation = Activation::kSilu,
                    .residual = residual.data()});
  CHECK(out[0] == about(6.5 / (1 + std::exp(-6.5)) + 10));
  CHECK(out[1] == about(20));
  CHECK(out[2] == about(1.5 / (1 + std::exp(-1.5)) + 30));
  CHECK(out[3] == about(-7 / (1 + std::exp(7.0)) + 40));
}

TEST_CASE("matmul: int8 inputs are rounded with amax / 127.5, fp8 inputs with amax / 448") {
  // Step 1: halves go to even, 128 is clamped: 127, 2, 2, -128.
  const std::vector<float> x = {127.5f, 2.5f, 1.5f, -127.5f};
  const int8_t weights[] = {1, 10, 100, 1};
  const float scale = 0.5f;
  WeightView w;
  w.payload = reinterpret_cast<const std::byte*>(weights);
  w.type = DType::kI8;
  w.rows = 1;
  w.columns = w.row_stride = w.group = 4;
  w.scales = reinterpret_cast<const std::byte*>(&scale);
  w.scale_rows = 1;
  w.quantize_input = true;
  float out = kNaN;
  ref().run.matmul({.x = x.data(), .weight = w, .out = &out, .tokens = 1});
  CHECK(out == (127 + 20 + 200 - 128) * 0.5f);

  const std::vector<float> y = {448, 17, 0.001f, 0};  // step 1: 448, 16 (a tie), 2^-9, 0
  const uint8_t codes[] = {0x38, 0x38, 0x7e, 0x38};   // 1, 1, 448, 1
  w.payload = reinterpret_cast<const std::byte*>(codes);
  w.type = DType::kF8E4M3;
  ref().run.matmul({.x = y.data(), .weight = w, .out = &out, .tokens = 1});
  CHECK(out == (448 + 16 + 448.0f / 512) * 0.5f);
}

TEST_CASE("matmul: zero tokens stay zero and a NaN spoils a token when inputs are rounded") {
  const int8_t weights[] = {1, 2};
  WeightView w;
  w.payload = reinterpret_cast<const std::byte*>(weights);
  w.type = DType::kI8;
  w.rows = 1;
  w.columns = w.row_stride = 2;
  w.quantize_input = true;
  const std::vector<float> x = {0, 0, 1, kNaN, kInfinity, 1, 1, 1};
  std::vector<float> out(4, kNaN);
  ref().run.matmul({.x = x.data(), .weight = w, .out = out.data(), .tokens = 4});
  CHECK(out[0] == 0);
  CHECK(std::isnan(out[1]));
  CHECK(std::isnan(out[2]));
  CHECK(out[3] == about(3.0 * 127 / 127.5));
}

TEST_CASE("gated_matmul and qkv_matmul") {
  const std::vector<float> x = {1, 1, 1}, up = {1, 0, 0, 0, 2, 0};
  std::vector<float> out(2, kNaN);
  ref().run.gated_matmul({.x = x.data(),
                          .gate = f32_view(kTwoByThree, 2),
                          .up = f32_view(up, 2),
                          .out = out.data(),
                          .tokens = 1,
                          .activation = Activation::kNone});
  CHECK(out[0] == 6);
  CHECK(out[1] == 3 * 2);
  const std::vector<float> bias = {5};
  float q[2], k, v[2];
  const std::vector<float> k_weights = {1, 1, 1};
  ref().run.qkv_matmul(
      {.x = x.data(),
       .weight = {f32_view(kTwoByThree, 2), f32_view(k_weights, 1), f32_view(up, 2)},
       .bias = {nullptr, bias.data(), nullptr},
       .out = {q, &k, v},
       .tokens = 1});
  CHECK(q[0] == 6);
  CHECK(q[1] == 3);
  CHECK(k == 8);
  CHECK(v[0] == 1);
  CHECK(v[1] == 2);
}

TEST_CASE("embed: rows by id") {
  const int32_t ids[] = {1, 0, 1};
  std::vector<float> out(9, kNaN);
  ref().run.embed({.ids = ids, .table = f32_view(kTwoByThree, 2), .out = out.data(), .tokens = 3});
  CHECK(out == std::vector<float>{-1, 0, 4, 1, 2, 3, -1, 0, 4});
}

TEST_CASE("rms_norm: 3 and 4 have the root mean square sqrt(12.5)") {
  const std::vector<float> x = {3, 4}, weight = {1, 10}, residual = {-3, -3};
  float out[2], sum[2];
  ref().run.rms_norm(
      {.x = x.data(), .weight = weight.data(), .out = out, .rows = 1, .dim = 2, .eps = 0});
  CHECK(out[0] == about(3 / std::sqrt(12.5)));
  CHECK(out[1] == about(40 / std::sqrt(12.5)));
  ref().run.rms_norm({.x = x.data(),
                      .weight = weight.data(),
                      .out = out,
                      .rows = 1,
                      .dim = 2,
                      .eps = 0.5,
                      .residual = residual.data(),
                      .sum = sum});
  CHECK(sum[0] == 0);
  CHECK(sum[1] == 1);
  CHECK(out[0] == 0);
  CHECK(out[1] == about(10 / std::sqrt(1.0)));
}

TEST_CASE("layer_norm: 1 and 3 become -1 and 1") {
  const std::vector<float> x = {1, 3, 5, 5}, weight = {2, 3}, bias = {0.5f, 0.25f};
  float out[4];
  LayerNormArgs args{.x = x.data(),
                     .weight = weight.data(),
                     .bias = bias.data(),
                     .out = out,
                     .rows = 2,
                     .dim = 2,
                     .eps = 0};
  args.rows = 1;
  ref().run.layer_norm(args);
  CHECK(out[0] == -1.5f);
  CHECK(out[1] == 3.25f);
  args.rows = 2;
  args.eps = 3;
  args.bias = nullptr;
  ref().run.layer_norm(args);
  CHECK(out[0] == about(-1));
  CHECK(out[1] == about(1.5));
  CHECK(out[2] == 0);
}

TEST_CASE("rope: a quarter turn moves a to b, the rest of the head stays") {
  std::vector<float> x = {1, 0, 0, 2, 9};  // pairs (1, 0) and (0, 2), rotary 4 of head_dim 5
  const double inv_freq[] = {std::acos(-1.0) / 2, std::acos(-1.0)};
  const int32_t positions[] = {1};
  ref().run.rope({.x = x.data(),
                  .positions = positions,
                  .inv_freq = inv_freq,
                  .tokens = 1,
                  .heads = 1,
                  .head_dim = 5,
                  .rotary = 4,
                  .attention_factor = 2});
  CHECK(std::abs(x[0]) < 1e-6);
  CHECK(x[2] == about(2));
  CHECK(std::abs(x[1]) < 1e-6);
  CHECK(x[3] == about(-4));
  CHECK(x[4] == 9);
}

namespace {

// A cache of one tile a head, filled position by position.
struct Cache {
  DType type;
  int64_t sequences, kv_heads, head_dim;
  std::vector<std::byte> keys, values;

  Cache(DType element, int64_t sequence_count, int64_t heads, int64_t dim)
      : type(element), sequences(sequence_count), kv_heads(heads), head_dim(dim) {
    keys.resize(sequences * kv_heads * kv_tile_bytes(type, dim));
    values.resize(keys.size());
  }

  // k, v: [kv_heads, head_dim]
  void store(int32_t sequence, int32_t position, const std::vector<float>& k,
             const std::vector<float>& v) {
    ref().run.kv_store({.k = k.data(),
                        .v = v.data(),
                        .keys = keys.data(),
                        .values = values.data(),
                        .type = type,
                        .sequences = &sequence,
                        .positions = &position,
                        .tokens = 1,
                        .kv_heads = kv_heads,
                        .head_dim = head_dim,
                        .capacity = kKvTile});
  }
};

// One head of width 1 with keys 0, ln 2, 5 and values 10, 20, 30: weights are exp(q key).
struct Tiny {
  Cache cache{DType::kF32, 1, 1, 1};
  Tiny() {
    cache.store(0, 0, {0}, {10});
    cache.store(0, 1, {std::log(2.0f)}, {20});
    cache.store(0, 2, {5}, {30});
  }
  float run(float q, int32_t position, int64_t window, const float* slopes = nullptr) {
    const int32_t sequence = 0;
    float out = kNaN;
    ref().run.attention({.q = &q,
                         .keys = cache.keys.data(),
                         .values = cache.values.data(),
                         .type = cache.type,
                         .out = &out,
                         .sequences = &sequence,
                         .positions = &position,
                         .tokens = 1,
                         .heads = 1,
                         .kv_heads = 1,
                         .head_dim = 1,
                         .capacity = kKvTile,
                         .scale = 0.5,
                         .window = window,
                         .alibi_slopes = slopes});
    return out;
  }
};

}  // namespace

TEST_CASE("attention: softmax over what is visible") {
  Tiny tiny;
  CHECK(tiny.run(2, 0, 0) == 10);
  CHECK(tiny.run(2, 1, 0) == about((10 + 2 * 20) / 3.0));
  CHECK(tiny.run(2, 1, 2) == about((10 + 2 * 20) / 3.0));
  CHECK(tiny.run(2, 1, 1) == 20);
  CHECK(tiny.run(0, 2, 0) == about(20));
  CHECK(tiny.run(0, 2, 2) == about(25));
  const float slope = std::log(3.0f);  // weights 1, 3, 9
  CHECK(tiny.run(0, 2, 0, &slope) == about((10 + 3 * 20 + 9 * 30) / 13.0));
}

TEST_CASE("attention: query heads share key heads, sequences have caches of their own") {
  // 4 query heads, 2 kv heads, one position; values name (sequence, kv head).
  Cache cache(DType::kF32, 2, 2, 1);
  cache.store(0, 0, {1, 1}, {1, 2});
  cache.store(1, 0, {1, 1}, {3, 4});
  const std::vector<float> q(8, 1.0f);
  const int32_t sequences[] = {1, 0}, positions[] = {0, 0};
  std::vector<float> out(8, kNaN);
  ref().run.attention({.q = q.data(),
                       .keys = cache.keys.data(),
                       .values = cache.values.data(),
                       .type = cache.type,
                       .out = out.data(),
                       .sequences = sequences,
                       .positions = positions,
                       .tokens = 2,
                       .heads = 4,
                       .kv_heads = 2,
                       .head_dim = 1,
                       .capacity = kKvTile,
                       .scale = 1});
  CHECK(out == std::vector<float>{3, 3, 4, 4, 1, 1, 2, 2});
}

TEST_CASE("kv_store: the bytes of a tile") {
  // Keys: element by position. Values: position by element, rows of 16.
  Cache cache(DType::kBF16, 1, 1, 2);
  cache.store(0, 3, {1, -2}, {0.5, 4});
  std::vector<uint16_t> keys(kKvTile * 16), values(kKvTile * 16);
  REQUIRE(cache.keys.size() == keys.size() * 2);
  std::memcpy(keys.data(), cache.keys.data(), cache.keys.size());
  std::memcpy(values.data(), cache.values.data(), cache.values.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    CHECK(keys[i] == (i == 3 ? 0x3f80 : i == 16 + 3 ? 0xc000 : 0));
    CHECK(values[i] == (i == 3 * 16 ? 0x3f00 : i == 3 * 16 + 1 ? 0x4080 : 0));
  }
}

TEST_CASE("kv_store: int8 has a scale for each head vector") {
  Cache cache(DType::kI8, 1, 1, 3);
  cache.store(0, 0, {127, -50.4f, 0}, {0, 0, 0});
  cache.store(0, 15, {-254, 127, 1}, {kNaN, 1, 2});
  const auto element = [](const std::vector<std::byte>& tile, int64_t at) {
    return static_cast<int8_t>(tile[at]);
  };
  const auto scale = [](const std::vector<std::byte>& tile, int64_t position) {
    float value;
    std::memcpy(&value, tile.data() + 16 * 16 + 4 * position, sizeof value);
    return value;
  };
  CHECK(scale(cache.keys, 0) == 1);
  CHECK(scale(cache.keys, 15) == 2);
  CHECK(element(cache.keys, 0) == 127);
  CHECK(element(cache.keys, 16) == -50);
  CHECK(element(cache.keys, 32) == 0);
  CHECK(element(cache.keys, 15) == -127);
  CHECK(element(cache.keys, 16 + 15) == 64);  // 63.5: ties to even
  CHECK(element(cache.keys, 32 + 15) == 0);   // 0.5: ties to even
  CHECK(scale(cache.values, 0) == 0);
  CHECK(std::isnan(scale(cache.values, 15)));  // no integer is a NaN
  std::vector<float> back(3);
  decode_key(DType::kI8, cache.keys.data(), 3, 0, back.data());
  CHECK(back == std::vector<float>{127, -50, 0});
  decode_value(DType::kI8, cache.values.data(), 3, 15, back.data());
  for (const float x : back) CHECK(std::isnan(x));
}

TEST_CASE("activations") {
  const std::vector<float> x = {-1, 0, 2, kNaN};
  float out[4];
  const auto run = [&](Activation activation) {
    ref().run.unary({.x = x.data(), .out = out, .count = 4, .activation = activation});
    CHECK(out[1] == 0);
    CHECK(std::isnan(out[3]));
  };
  run(Activation::kNone);
  CHECK(out[2] == 2);
  run(Activation::kSilu);
  CHECK(out[0] == about(-0.268941421369995));
  CHECK(out[2] == about(1.761594155955765));
  run(Activation::kGelu);
  CHECK(out[0] == about(-0.158655253931457));
  CHECK(out[2] == about(1.954499736103642));
  run(Activation::kGeluTanh);
  CHECK(out[0] == about(-0.158808009395294));
  CHECK(out[2] == about(1.954597694087775));
}

TEST_CASE("elementwise ops and rows") {
  const std::vector<float> a = {1, 2, 3, 4}, b = {10, 20, 30, 40};
  std::vector<float> out(4);
  ref().run.add({.a = a.data(), .b = b.data(), .out = out.data(), .count = 4});
  CHECK(out == std::vector<float>{11, 22, 33, 44});
  ref().run.mul({.a = a.data(), .b = b.data(), .out = out.data(), .count = 4});
  CHECK(out == std::vector<float>{10, 40, 90, 160});
  ref().run.add_bias({.x = a.data(), .bias = b.data(), .out = out.data(), .rows = 2, .dim = 2});
  CHECK(out == std::vector<float>{11, 22, 13, 24});
  ref().run.gated_activation({.gate = a.data(),
                              .up = b.data(),
                              .out = out.data(),
                              .count = 1,
                              .activation = Activation::kSilu});
  CHECK(out[0] == about(10 * 0.731058578630005));
  const int32_t rows[] = {1, 1};
  ref().run.gather_rows({.x = a.data(), .rows = rows, .out = out.data(), .count = 2, .dim = 2});
  CHECK(out == std::vector<float>{3, 4, 3, 4});
}
