// Products in floats at the edges of chunks, tiles and areas: any number of tokens gives the bytes
// of one token, and these are near the reference.
#include "tests/cpu/fixture.h"
#include "tests/support/tolerances.h"
// Last: its CHECK.
#include "tests/support/doctest.h"

using namespace hone;

namespace {

// As product(), a token at a time.
std::vector<float> one_by_one(Backend& backend, const WeightView& w, const std::vector<float>& x,
                              int64_t tokens) {
  std::vector<float> out;
  for (int64_t t = 0; t < tokens; ++t) {
    const std::vector<float> token(x.begin() + t * w.columns, x.begin() + (t + 1) * w.columns);
    const std::vector<float> one = product(backend, w, token, 1);
    out.insert(out.end(), one.begin(), one.end());
  }
  return out;
}

const Storage kStorages[] = {
    {.name = "BF16", .type = DType::kBF16},
    {.name = "BF16 x bf16", .type = DType::kBF16, .bf16_input = true},
    {.name = "F32", .type = DType::kF32},
    {.name = "Q4_0", .type = DType::kQ4_0},
    {.name = "int4", .packed_bits = 4, .group = 32},
    {.name = "BF16 2:4", .type = DType::kBF16, .sparse = true},
};

}  // namespace

TEST_CASE("matmul: chunks of 2048 columns, or pairs, and parts of 1024") {
  const int64_t rows = 9, tokens = 7;
  const std::vector<Level> levels = open_levels(1);
  for (const Storage& storage : kStorages) {
    for (const int64_t wanted :
         {1008, 1040, 2032, 2047, 2048, 2049, 2080, 3072, 3088, 4094, 4096, 4098, 4128}) {
      const int64_t columns = (wanted + storage.step() - 1) / storage.step() * storage.step();
      const StoredMatrix matrix(storage, rows, columns, 1);
      const std::vector<float> x = normal_floats(tokens * columns, 2);
      const auto expected = product(reference(), matrix.view(), x, tokens);
      const auto magnitudes = dot_magnitudes(x, matrix, tokens);
      for (const auto& [level, backend] : levels) {
        INFO(level << " " << storage.name << " " << columns);
        const auto batch = product(*backend, matrix.view(), x, tokens);
        CHECK(tolerance::same_bytes(batch, one_by_one(*backend, matrix.view(), x, tokens)));
        CHECK(tolerance::difference(batch, expected, magnitudes, tolerance::kDot) == "");
      }
    }
  }
}

TEST_CASE("matmul: every count of rows in a tile, with every few tokens") {
  const int64_t columns = 96;
  for (const std::string& level : levels()) {
    const auto backend = open_level(level, 1);
    for (const Storage& storage : kStorages) {
      for (int64_t rows = 1; rows <= 17; ++rows) {
        const StoredMatrix matrix(storage, rows, columns, static_cast<uint32_t>(rows));
        const std::vector<float> x = normal_floats(9 * columns, 3);
        const auto alone = one_by_one(*backend, matrix.view(), x, 9);
        for (int64_t tokens = 2; tokens <= 9; ++tokens) {
          const auto batch = product(*backend, matrix.view(), x, tokens);
          INFO(level << " " << storage.name << " " << rows << " rows, " << tokens << " tokens");
          CHECK(tolerance::same_bytes(batch, std::span(alone).first(tokens * rows)));
        }
      }
    }
  }
}

TEST_CASE("matmul: areas of 32 rows and 528 tokens, for any number of threads") {
  const Storage storages[] = {{.name = "BF16", .type = DType::kBF16},
                              {.name = "BF16 x bf16", .type = DType::kBF16, .bf16_input = true},
                              {.name = "int4", .packed_bits = 4, .group = 32, .int8_input = true}};
  const int64_t columns = 64;
  for (const std::string& level : levels()) {
    const auto one = open_level(level, 1);
    const auto three = open_level(level, 3);
    const std::vector<float> x = normal_floats(530 * columns, 4);
    for (const Storage& storage : storages) {
      for (const int64_t rows : {31, 32, 33, 97}) {
        const StoredMatrix matrix(storage, rows, columns, 5);
        const auto alone = one_by_one(*one, matrix.view(), x, 530);
        for (const int64_t tokens : {47, 48, 49, 50, 96, 98, 527, 528, 529, 530}) {
          const auto expected = std::span(alone).first(tokens * rows);
          INFO(level << " " << storage.name << " " << rows << " rows, " << tokens << " tokens");
          CHECK(tolerance::same_bytes(product(*one, matrix.view(), x, tokens), expected));
          CHECK(tolerance::same_bytes(product(*three, matrix.view(), x, tokens), expected));
        }
      }
    }
  }
}
