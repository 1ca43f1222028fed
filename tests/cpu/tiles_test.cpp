// Matrices that lie once more in the order in which they are multiplied: the same bytes.
#include <span>

#include "kernels/cpu/vbmi.h"
#include "tests/cpu/fixture.h"
#include "tests/support/tolerances.h"
// Last: its CHECK.
#include "tests/support/doctest.h"

using namespace hone;

namespace {

// Whether tiles.h has the storage, on a level that multiplies integers.
bool has_tiles(const Storage& storage, int64_t columns) {
  if (storage.sparse || storage.bitmask) return false;
  if (!storage.int8_input && !storage.quantize_input) return false;
  switch (storage.type) {
    case DType::kQ8_0:
    case DType::kQ4_0:
    case DType::kQ4_K:
    case DType::kQ5_K:
    case DType::kQ6_K:
      return true;
    case DType::kI8:
      break;
    default:
      if (storage.packed_bits == 0) return false;
  }
  const int bits = storage.packed_bits == 0 ? 8 : storage.packed_bits;
  const bool whole = bits == 8 || bits == 4 || (bits == 2 && storage.group != 32);
  return whole && storage.group != 24 && columns % 128 == 0;
}

// Where tiles give other bytes than rows do.
std::string check_tiles(Backend& backend, const StoredMatrix& matrix, int64_t tokens) {
  const WeightView& w = matrix.view();
  const std::vector<float> x = normal_floats(tokens * w.columns, 9);
  const WeightView placed = backend.place(w);
  WeightView alone = placed;
  alone.payload = nullptr;  // a product that reads it would crash
  if (!placed.tiles) return "has no tiles";
  const bool same =
      tolerance::same_bytes(product(backend, alone, x, tokens), product(backend, w, x, tokens));
  return same ? "" : "differs";
}

}  // namespace

TEST_CASE("tiles: integers in tiles give the bytes that they give as stored") {
  for (const auto& [level, backend] : open_levels(2)) {
    const bool multiplies =
        has_vnni(level) || level == "avx2" || level == "sse4" || level == "neon";
    for (const Storage& storage : host_storages()) {
      for (const int64_t rows : {1, 17, 32, 70}) {
        const int64_t columns = rows == 17 ? 1280 : 256;
        const StoredMatrix matrix(storage, rows, columns, static_cast<uint32_t>(rows));
        INFO(level << " " << storage.name << " [" << rows << ", " << columns << "]");
        if (!multiplies || !has_tiles(storage, columns)) {
          const bool floats = storage.type == DType::kBF16 || storage.type == DType::kF16;
          if (!storage.sparse && !floats) CHECK(backend->placed_bytes(matrix.view()) == 0);
          continue;
        }
        for (const int64_t tokens : {1, 2, 5, 13, 25}) {
          CHECK_MESSAGE(check_tiles(*backend, matrix, tokens) == "", tokens << " tokens");
        }
      }
    }
  }
}

// Their sums have an order of their own, the same for a token alone and among others.
TEST_CASE("tiles: floats in tiles are as exact as in rows") {
  for (const auto& [level, backend] : open_levels(2)) {
    for (const DType type : {DType::kBF16, DType::kF16}) {
      for (const int64_t rows : {1, 8, 17, 32, 70}) {
        const int64_t columns = rows == 17 ? 1282 : 2 * rows;
        const StoredMatrix matrix({.name = "", .type = type}, rows, columns, 4);
        const WeightView placed = backend->place(matrix.view());
        if (!placed.tiles) {
          CHECK(level == "scalar");
          continue;
        }
        WeightView alone = placed;
        alone.payload = nullptr;  // a product that reads it would crash
        for (const int64_t tokens : {1, 2, 3, 5, 6, 7, 13}) {
          const std::vector<float> x = normal_floats(tokens * columns, 9);
          const auto out = product(*backend, alone, x, tokens);
          const auto expected = product(reference(), matrix.view(), x, tokens);
          const auto magnitudes = dot_magnitudes(x, matrix, tokens);
          INFO(level << " " << name(type) << " [" << rows << ", " << columns << "] x " << tokens);
          CHECK(tolerance::difference(out, expected, magnitudes, tolerance::kDot) == "");
          const std::vector<float> last(x.end() - columns, x.end());
          CHECK(
              tolerance::same_bytes(product(*backend, alone, last, 1), std::span(out).last(rows)));
        }
      }
    }
    const StoredMatrix odd({.name = "", .type = DType::kBF16}, 4, 33, 4);
    CHECK(backend->placed_bytes(odd.view()) == 0);
  }
}

// Those are 16 rows by 128 columns and serve up to four tokens.
TEST_CASE("tiles: integers of 2:4 in tiles give the bytes that they give as stored") {
  for (const auto& [level, backend] : open_levels(2)) {
    int64_t tiled = 0;
    for (const DType scale_type : {DType::kF16, DType::kBF16}) {
      for (const int64_t rows : {1, 15, 16, 17, 70}) {
        const int64_t columns = 128 * (1 + rows % 3);
        const StoredMatrix matrix({.name = "",
                                   .packed_bits = 4,
                                   .group = 128,
                                   .scale_type = scale_type,
                                   .sparse = true,
                                   .int8_input = true},
                                  rows, columns, static_cast<uint32_t>(rows));
        const WeightView placed = backend->place(matrix.view());
        if (placed.tiles) ++tiled;
        for (const int64_t tokens : {1, 2, 3, 4, 5, 13}) {
          const std::vector<float> x = normal_floats(tokens * columns, 9);
          CHECK_MESSAGE(tolerance::same_bytes(product(*backend, placed, x, tokens),
                                              product(*backend, matrix.view(), x, tokens)),
                        level << " [" << rows << ", " << columns << "] x " << tokens);
        }
        const auto last = static_cast<int32_t>(rows - 1);
        std::vector<float> row = poisoned(columns);
        backend->run.embed({.ids = &last, .table = placed, .out = row.data(), .tokens = 1});
        const std::vector<float> decoded = matrix.decoded();
        CHECK(tolerance::same_bytes(row, std::span(decoded).last(columns)));
      }
    }
    CHECK(tiled == (has_vnni(level) && cpu::has_vbmi() ? 10 : 0));
  }
}
