// Rows of float from every storage, against the values they were made of.
#include "libcommon/compress/matrix_input.h"

#include "tests/compress/memory_model.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

TEST_CASE("a transposed matrix shows its columns as rows") {
  const TensorInfo info{"w", DType::kF32, {3, 5}};
  std::vector<float> values(15);
  for (size_t i = 0; i < 15; ++i) values[i] = static_cast<float>(i);
  const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
  ThreadPool pool(2);
  MatrixInput input = MatrixInput::plain(info, true);
  CHECK(input.rows() == 5);
  CHECK(input.columns() == 3);
  input.load({0, 3, {bytes, 60}}, pool);
  CHECK(input.loaded_rows() == 5);
  float row[3];
  input.row(4, row);
  CHECK(row[0] == 4);
  CHECK(row[1] == 9);
  CHECK(row[2] == 14);
}

TEST_CASE(
    "parts join: integers, scales, zero points and 2:4 positions, in the middle of a matrix") {
  // 16 rows of 16 columns, int4, groups of 8 dense columns, asymmetric, 2:4.
  constexpr int64_t kRows = 16, kColumns = 16, kGroups = 2;
  std::vector<int8_t> codes(kRows * kColumns / 2);
  std::vector<int8_t> zeros(kRows * kGroups);
  std::vector<float> scales(kRows * kGroups);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<int8_t>(i * 7 % 16) - 8;
  for (size_t i = 0; i < zeros.size(); ++i) {
    zeros[i] = static_cast<int8_t>(i * 5 % 16) - 8;
    scales[i] = 0.25f * static_cast<float>(i + 1);
  }
  SideTensors sides;
  sides[1].resize(scales.size() * 4);
  std::memcpy(sides[1].data(), scales.data(), sides[1].size());
  sides[2].resize(static_cast<size_t>(packed_row_bytes(kRows, 4) * kGroups));
  pack_zeros(zeros.data(), kRows, kGroups, 4, sides[2].data());
  sides[3].assign(kRows * kColumns / 8, std::byte{0x84});  // low: 0, 1; high: 0, 2
  const int64_t row_size = packed_row_bytes(kColumns / 2, 4);
  Bytes payload(static_cast<size_t>(kRows * row_size));
  for (int64_t r = 0; r < kRows; ++r) {
    pack_row(codes.data() + r * kColumns / 2, kColumns / 2, 4, payload.data() + r * row_size);
  }
  StoredWeight weight;
  weight.name = "w";
  weight.payload = 0;
  weight.scale = 1;
  weight.zero_point = 2;
  weight.index = 3;
  weight.view.type = DType::kI32;
  weight.view.packed_bits = 4;
  weight.view.rows = kRows;
  weight.view.columns = kColumns;
  weight.view.scale_type = DType::kF32;
  weight.view.scale_rows = kRows;
  weight.view.group = 8;
  CheckpointHeader header;
  header.tensors.resize(4);
  CHECK(MatrixInput::part_indices(weight) == std::vector<int64_t>{1, 2, 3});
  MatrixInput input = MatrixInput::joined(weight, header, false);
  ThreadPool pool(1);
  input.start(sides);
  const int64_t first = 5;
  input.load({first, 4,
              std::span<const std::byte>(payload).subspan(static_cast<size_t>(first * row_size),
                                                          static_cast<size_t>(4 * row_size))},
             pool);
  for (int64_t r = first; r < first + 4; ++r) {
    float row[kColumns];
    input.row(r, row);
    for (int64_t c = 0; c < kColumns; ++c) {
      // Positions of the kept: 0, 1 of the first quadruple of each byte, 0, 2 of the second.
      const int64_t quad = c / 4, place = c % 4;
      const int64_t second = quad % 2 == 0 ? 1 : 2;
      float expected = 0;
      if (place == 0 || place == second) {
        const int64_t kept = r * kColumns / 2 + quad * 2 + (place != 0);
        const int64_t g = r * kGroups + c / 8;
        expected =
            static_cast<float>(codes[static_cast<size_t>(kept)] - zeros[static_cast<size_t>(g)]) *
            scales[static_cast<size_t>(g)];
      }
      CHECK(row[c] == expected);
    }
  }
}

}  // namespace
}  // namespace hone
