// Scales, zero points and codes: bit for bit those of compressed-tensors; the other range rules
// against plain searches.
#include "libcommon/quant/range.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/codec/codec.h"
#include "libcommon/base/error.h"
#include "libcommon/base/rng.h"
#include "tests/quant/compressed_tensors_vectors.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

Scheme scheme_of(const test::QuantVector& vector) {
  return {.kind = vector.kind, .bits = vector.bits, .symmetric = vector.symmetric};
}

TEST_CASE("scales, zeros and codes equal compressed-tensors'") {
  for (const test::QuantVector& vector : test::kQuantVectors) {
    CAPTURE(vector.name);
    const Scheme scheme = scheme_of(vector);
    const auto group = static_cast<size_t>(vector.group);
    for (size_t g = 0; g < 96 / group; ++g) {
      const std::span<const float> weights(test::kWeights + g * group, group);
      const Grid grid = find_grid(weights, scheme, DType::kF32);
      CHECK(grid.scale == vector.scales[g]);
      if (!vector.symmetric) CHECK(grid.zero == vector.zeros[g]);
      std::vector<int8_t> codes(group);
      quantize(weights, grid, scheme, codes.data());
      for (size_t i = 0; i < group; ++i) CHECK(codes[i] == vector.codes[g * group + i]);
    }
  }
}

TEST_CASE("packed words and packed zero points equal compressed-tensors'") {
  for (const test::QuantVector& vector : test::kQuantVectors) {
    if (vector.kind != SchemeKind::kInt) continue;
    CAPTURE(vector.name);
    const std::vector<int8_t> codes(vector.codes.begin(), vector.codes.end());
    const int64_t bytes = packed_row_bytes(32, vector.bits);
    std::vector<int32_t> words(vector.packed.size());
    CHECK(static_cast<int64_t>(words.size()) * 4 == 3 * bytes);
    for (int64_t r = 0; r < 3; ++r) {
      pack_row(codes.data() + r * 32, 32, vector.bits,
               reinterpret_cast<std::byte*>(words.data()) + r * bytes);
    }
    CHECK(words == vector.packed);
    if (vector.symmetric) continue;
    const std::vector<int8_t> zeros(vector.zeros.begin(), vector.zeros.end());
    std::vector<int32_t> packed(vector.packed_zeros.size());
    pack_zeros(zeros.data(), 3, 32 / vector.group, vector.bits,
               reinterpret_cast<std::byte*>(packed.data()));
    CHECK(packed == vector.packed_zeros);
  }
}

std::vector<float> normals(size_t count, uint64_t seed) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(random_normal(seed, 1, i));
  return values;
}

TEST_CASE("the scale is rounded as it is stored; a zero scale becomes the type's epsilon") {
  const Scheme int4{.kind = SchemeKind::kInt, .bits = 4};
  const std::vector<float> weights = normals(64, 3);
  for (DType type : {DType::kBF16, DType::kF16}) {
    const Grid grid = find_grid(weights, int4, type);
    float again = grid.scale;
    std::byte bits[2];
    encode_row(type, &again, 1, bits);
    decode_row(type, bits, 1, &again);
    CHECK(again == grid.scale);
    CHECK(grid.scale != find_grid(weights, int4, DType::kF32).scale);
  }
  const std::vector<float> nothing(32, 0.0f);
  CHECK(find_grid(nothing, int4, DType::kBF16).scale == 0.0078125f);
  CHECK(find_grid(nothing, int4, DType::kF16).scale == 0.0009765625f);
  CHECK(find_grid(nothing, int4, DType::kF32).scale == std::numeric_limits<float>::epsilon());
}

TEST_CASE("mse is never worse than absmax, and better where outliers stretch the range") {
  Scheme usual{.kind = SchemeKind::kInt, .bits = 3};
  Scheme best = usual;
  best.range = RangeKind::kMse;
  for (bool symmetric : {true, false}) {
    usual.symmetric = best.symmetric = symmetric;
    std::vector<float> weights = normals(128, 5);
    weights[17] = 9;
    const double plain = square_error(weights, find_grid(weights, usual, DType::kF32), usual);
    const double searched = square_error(weights, find_grid(weights, best, DType::kF32), best);
    CHECK(searched < 0.95 * plain);
  }
}

TEST_CASE("percentile: the outermost are cut off, exactly as sorting says") {
  std::vector<float> weights = normals(1000, 9);
  std::vector<float> sizes;
  for (float w : weights) sizes.push_back(std::fabs(w));
  std::sort(sizes.begin(), sizes.end());
  Scheme scheme{
      .kind = SchemeKind::kInt, .bits = 8, .range = RangeKind::kPercentile, .percentile = 99};
  CHECK(find_grid(weights, scheme, DType::kF32).scale == sizes[989] / 127.5f);
  scheme.symmetric = false;
  std::sort(weights.begin(), weights.end());
  CHECK(find_grid(weights, scheme, DType::kF32).scale == (weights[989] - weights[10]) / 255.0f);
}

TEST_CASE("absmax with zero points spans both signs; all-positive weights reach zero") {
  const std::vector<float> weights = {1, 2, 3, 4};
  Scheme scheme{.kind = SchemeKind::kInt, .bits = 4, .symmetric = false};
  CHECK(find_grid(weights, scheme, DType::kF32).scale == 4.0f / 15);
  CHECK(find_grid(weights, scheme, DType::kF32).zero == -8);
  scheme.range = RangeKind::kAbsMax;
  CHECK(find_grid(weights, scheme, DType::kF32).scale == 8.0f / 15);
}

TEST_CASE("codes never leave their range; NaN becomes 0, infinity the end") {
  const Scheme scheme{.kind = SchemeKind::kInt, .bits = 4};
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> weights = {1e30f, -1e30f, inf, -inf, std::nanf(""), 0.4f};
  std::vector<int8_t> codes(6);
  quantize(weights, {.scale = 0.5f}, scheme, codes.data());
  CHECK(codes == std::vector<int8_t>{7, -8, 7, -8, 0, 1});
}

TEST_CASE("schemes: presets, changes, and what has no meaning") {
  CHECK(describe(find_scheme("w4a16")) == "int4 group 128");
  SchemeOverrides overrides;
  overrides.bits = 3;
  overrides.group_size = 64;
  overrides.asymmetric = true;
  overrides.range = "mse";
  CHECK(describe(with_overrides(find_scheme("w4a16"), overrides)) == "int3 group 64 asym mse");
  const auto refused = [](const std::string& preset, auto change) {
    SchemeOverrides bad;
    change(bad);
    try {
      with_overrides(find_scheme(preset), bad);
      return false;
    } catch (const Error& error) {
      return error.code() == ExitCode::kUsage;
    }
  };
  CHECK(refused("w4a16", [](auto& o) { o.bits = 9; }));
  CHECK(refused("w4a16", [](auto& o) { o.bits = 7; }));
  CHECK(refused("w4a16", [](auto& o) { o.group_size = 48; }));
  CHECK(refused("w4a16", [](auto& o) { o.strategy = "row"; }));
  CHECK(refused("w4a16", [](auto& o) { o.strategy = "tensor", o.asymmetric = true; }));
  CHECK(refused("w4a16", [](auto& o) { o.symmetric = o.asymmetric = true; }));
  CHECK(refused("w4a16", [](auto& o) { o.percentile = "99"; }));
  CHECK(refused("w4a16", [](auto& o) { o.range = "percentile", o.percentile = "5"; }));
  CHECK(refused("w8a8", [](auto& o) { o.bits = 4; }));
  CHECK(refused("w8a8", [](auto& o) { o.strategy = "group"; }));
  CHECK(refused("fp8", [](auto& o) { o.asymmetric = true; }));
  CHECK(refused("bf16", [](auto& o) { o.bits = 4; }));
  CHECK_THROWS_AS(find_scheme("w5a5"), Error);
}

}  // namespace
}  // namespace hone
