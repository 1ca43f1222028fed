// Activations rounded to BF16: what is rounded, how, and by which instruction. That products are
// near the reference, and the same alone and in company, is tested with those of all storages.
#include <array>

#include "kernels/codec/codec.h"
#include "kernels/cpu/bf16.h"
#include "tests/cpu/fixture.h"
#include "tests/support/tolerances.h"
// Last: its CHECK.
#include "tests/support/doctest.h"

using namespace hone;

namespace {

WeightView bf16_matrix(const std::vector<uint16_t>& elements, int64_t columns) {
  WeightView w;
  w.payload = reinterpret_cast<const std::byte*>(elements.data());
  w.type = DType::kBF16;
  w.columns = columns;
  w.rows = static_cast<int64_t>(elements.size()) / columns;
  w.row_stride = 2 * columns;
  w.bf16_input = true;
  return w;
}

bool has_instruction(const std::string& level) {
  return has_vnni(level) && cpu::has_bf16_products();
}

}  // namespace

TEST_CASE("bf16_input: a column alone gives its activation, rounded to the nearest, ties to even") {
  const std::array<float, 7> values = {0x1.01p0f,  0x1.03p0f, -0x1.01p0f, 0x1.010002p0f,
                                       0x1.ffp-9f, 3e38f,     -0.1f};
  for (const int64_t columns : {97, 98}) {  // with a last column alone, or not
    std::vector<uint16_t> one_hot(columns * columns, 0);
    for (int64_t c = 0; c < columns; ++c) one_hot[c * columns + c] = f32_to_bf16(1);
    std::vector<float> x;
    for (int64_t i = 0; i < 20 * columns; ++i) x.push_back(values[i % values.size()]);
    std::vector<float> rounded = x;
    for (float& value : rounded) value = bf16_to_f32(f32_to_bf16(value));
    const WeightView w = bf16_matrix(one_hot, columns);
    CHECK(tolerance::same_bytes(product(reference(), w, x, 20), rounded));
    for (const auto& [level, backend] : open_levels(1)) {
      INFO(level << " " << columns);
      CHECK(tolerance::same_bytes(product(*backend, w, x, 20), rounded));
      const std::vector<float> alone = product(*backend, w, {x.begin(), x.begin() + columns}, 1);
      CHECK(tolerance::same_bytes(alone, std::span(rounded).first(columns)));
    }
  }
}

TEST_CASE("bf16_input: no effect on other types") {
  const int64_t rows = 9, columns = 70, tokens = 20;
  const std::vector<float> x = normal_floats(tokens * columns, 2);
  for (const DType type : {DType::kF16, DType::kF32}) {
    const StoredMatrix matrix({.name = "", .type = type}, rows, columns, 1);
    WeightView w = matrix.view();
    w.bf16_input = true;
    for (const auto& [level, backend] : open_levels(1)) {
      CHECK_MESSAGE(tolerance::same_bytes(product(*backend, w, x, tokens),
                                          product(*backend, matrix.view(), x, tokens)),
                    level << " " << name(type));
    }
  }
}

// The instruction takes subnormal numbers for zeros, f32 does not: so one can tell them apart.
TEST_CASE("bf16_input: pairs are multiplied by their instruction, on every route") {
  const int64_t rows = 8, columns = 64;
  const std::vector<uint16_t> subnormal(rows * columns, 0x0040);
  const WeightView w = bf16_matrix(subnormal, columns);
  for (const auto& [level, backend] : open_levels(1)) {
    for (const int64_t tokens : {1, 4, 20}) {
      const std::vector<float> x(tokens * columns, 0x1p40f);
      const float expected = has_instruction(level) ? 0 : columns * 0x1p-87f;
      INFO(level << " " << tokens);
      for (const float sum : product(*backend, w, x, tokens)) CHECK(sum == expected);
    }
    const double least = backend->least_zeros(w);
    if (has_instruction(level)) CHECK(least > 1);  // a bitmask would be multiplied in f32
  }
}
