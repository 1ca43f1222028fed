// Parts of matrices: in every storage they hold the numbers of the whole, and the CPU multiplies
// them where they lie, rows apart.
#include "libcommon/model/shard.h"

#include "kernels/open.h"
#include "tests/support/doctest.h"
#include "tests/support/matrices.h"
#include "tests/support/tolerances.h"

namespace hone {
namespace {

constexpr int64_t kRows = 5;
constexpr int kRanks = 3;

// Columns that three ranks can share, unevenly.
int64_t columns_for(const Storage& storage) {
  const StoredMatrix probe(storage, 1, std::lcm(storage.step(), int64_t{64}), 1);
  return 4 * std::lcm(column_unit(probe.view()), storage.step());
}

std::vector<float> decoded(const WeightView& view) {
  std::vector<float> all(static_cast<size_t>(view.rows * view.columns));
  for (int64_t r = 0; r < view.rows; ++r) decode_weight_row(view, r, &all[r * view.columns]);
  return all;
}

TEST_CASE("parts of a matrix hold the numbers of the whole") {
  for (const Storage& storage : storages()) {
    CAPTURE(storage.name);
    const int64_t columns = columns_for(storage);
    const StoredMatrix matrix(storage, kRows, columns, 7);
    const std::vector<float> whole = matrix.decoded();
    const int64_t unit = column_unit(matrix.view());
    for (int rank = 0; rank < kRanks; ++rank) {
      const Range rows = part_of(kRows, 1, {rank, kRanks});
      const auto first = whole.begin() + rows.begin * columns;
      CHECK(decoded(rows_of(matrix.view(), rows)) ==
            std::vector<float>(first, first + rows.count * columns));

      const Range own = part_of(columns, unit, {rank, kRanks});
      SideArrays kept;
      std::vector<float> expected;
      for (int64_t r = 0; r < kRows; ++r) {
        const auto from = whole.begin() + r * columns + own.begin;
        expected.insert(expected.end(), from, from + own.count);
      }
      CHECK(decoded(columns_of(matrix.view(), own, kept)) == expected);
    }
  }
}

std::vector<float> product(Backend& backend, const WeightView& weight, std::span<const float> x) {
  const auto tokens = static_cast<int64_t>(x.size()) / weight.columns;
  std::vector<float> out = poisoned(tokens * weight.rows);
  backend.run.matmul({.x = x.data(), .weight = weight, .out = out.data(), .tokens = tokens});
  return out;
}

TEST_CASE("the CPU multiplies a part as the reference does") {
  std::string why;
  const auto cpu = open_backend("cpu", 1, &why);
  for (const Storage& storage : storages()) {
    CAPTURE(storage.name);
    const int64_t columns = columns_for(storage);
    const StoredMatrix matrix(storage, kRows, columns, 8);
    SideArrays kept;
    const Range own = part_of(columns, column_unit(matrix.view()), {1, kRanks});
    const WeightView part = columns_of(matrix.view(), own, kept);
    const std::vector<float> weights = decoded(part);
    for (const int64_t tokens : {1, 5, 33}) {
      const std::vector<float> x = normal_floats(tokens * own.count, 9);
      std::vector<double> magnitudes;
      for (int64_t i = 0; i < tokens * kRows; ++i) {
        double sum = 0;
        for (int64_t c = 0; c < own.count; ++c) {
          sum += std::abs(static_cast<double>(x[i / kRows * own.count + c]) *
                          weights[i % kRows * own.count + c]);
        }
        magnitudes.push_back(sum);
      }
      CHECK(tolerance::difference(product(*cpu, part, x), product(reference(), part, x), magnitudes,
                                  tolerance::kDot) == "");
    }
  }
}

TEST_CASE("a scale for a whole row or tensor stays one when columns are cut") {
  for (const int64_t group : {kPerRow, kPerTensor}) {
    const StoredMatrix matrix({.name = "I8", .type = DType::kI8, .group = group}, kRows, 256, 3);
    SideArrays kept;
    const WeightView part = columns_of(matrix.view(), {128, 128}, kept);
    CHECK(part.scales == matrix.view().scales);
    CHECK(part.group == part.columns);
    CHECK(kept.empty());
  }
}

}  // namespace
}  // namespace hone
