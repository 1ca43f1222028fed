// Rows of WeightViews: every combination of storage, zero points, scales, groups and 2:4, against
// the rule of tensor_view.h evaluated column by column.
#include <cmath>
#include <cstring>
#include <optional>
#include <random>
#include <vector>

#include "kernels/codec/codec.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

using Bytes = std::vector<std::byte>;

struct Shape {
  int bits;       // 0: int8 elements
  int64_t group;  // 0: no scales
  bool zeros;
  bool sparse;
  DType scale_type;
  bool per_tensor;
};

// A random weight and all its numbers, unpacked.
struct Weight {
  static constexpr int64_t kRows = 3;
  int64_t columns;
  Shape shape;
  std::vector<int8_t> elements = {};  // [rows, stored columns]
  std::vector<float> scales = {};     // [scale_rows, groups], as rounded by scale_type
  std::vector<int8_t> zeros = {};     // [rows, groups]
  Bytes payload = {};
  Bytes stored_scales = {};
  Bytes index = {};
  int64_t stride = 0;

  int64_t stored() const { return shape.sparse ? columns / 2 : columns; }
  WeightView view() const;
  float expected(int64_t row, int64_t column) const;
};

WeightView Weight::view() const {
  WeightView view{.payload = payload.data(),
                  .type = shape.bits == 0 ? DType::kI8 : DType::kI32,
                  .packed_bits = shape.bits,
                  .rows = kRows,
                  .columns = columns,
                  .row_stride = stride};
  if (shape.group != 0) {
    view.scales = stored_scales.data() + 1;
    view.scale_type = shape.scale_type;
    view.scale_rows = shape.per_tensor ? 1 : kRows;
    view.group = shape.group;
    if (shape.zeros) view.zeros = zeros.data();
  }
  if (shape.sparse) view.index = index.data();
  return view;
}

// Which stored element a dense column is, or nothing where 2:4 dropped it.
std::optional<int64_t> stored_place(const Weight& w, int64_t row, int64_t column) {
  if (!w.shape.sparse) return column;
  const auto byte = w.index[static_cast<size_t>(row * w.columns / 8 + column / 8)];
  const unsigned nibble = std::to_integer<unsigned>(byte) >> (column % 8 / 4 * 4);
  if ((nibble & 3) == column % 4) return column / 4 * 2;
  if ((nibble >> 2 & 3) == column % 4) return column / 4 * 2 + 1;
  return std::nullopt;
}

float Weight::expected(int64_t row, int64_t column) const {
  const auto place = stored_place(*this, row, column);
  if (!place) return 0;
  const double element = elements[static_cast<size_t>(row * stored() + *place)];
  if (shape.group == 0) return static_cast<float>(element);
  const int64_t groups = columns / shape.group;
  const int64_t g = column / shape.group;
  const double zero = shape.zeros ? zeros[static_cast<size_t>(row * groups + g)] : 0;
  const double scale = scales[static_cast<size_t>((shape.per_tensor ? 0 : row) * groups + g)];
  return static_cast<float>((element - zero) * scale);
}

void fill_payload(Weight& w, std::mt19937& random) {
  const int bits = w.shape.bits == 0 ? 8 : w.shape.bits;
  w.elements.resize(static_cast<size_t>(Weight::kRows * w.stored()));
  for (int8_t& q : w.elements) {
    q = static_cast<int8_t>(static_cast<int>(random() % (1u << bits)) - (1 << (bits - 1)));
  }
  const int64_t bytes = w.shape.bits == 0 ? w.stored() : packed_row_bytes(w.stored(), bits);
  w.stride = bytes + 4;  // rows need not touch
  w.payload.assign(static_cast<size_t>(Weight::kRows * w.stride), std::byte{0xa5});
  for (int64_t r = 0; r < Weight::kRows; ++r) {
    const int8_t* row = w.elements.data() + r * w.stored();
    std::byte* out = w.payload.data() + r * w.stride;
    if (w.shape.bits == 0) {
      std::memcpy(out, row, static_cast<size_t>(bytes));
    } else {
      pack_row(row, w.stored(), bits, out);
    }
  }
}

// Scales lie at an odd address, as they may in a file.
void fill_scales(Weight& w, std::mt19937& random) {
  if (w.shape.group == 0) return;
  const int64_t groups = w.columns / w.shape.group;
  const int64_t count = (w.shape.per_tensor ? 1 : Weight::kRows) * groups;
  for (int64_t i = 0; i < count; ++i) {
    w.scales.push_back(0.001f * static_cast<float>(random() % 2000) - 1.0f);
  }
  w.stored_scales.resize(static_cast<size_t>(1 + row_bytes(w.shape.scale_type, count)));
  encode_row(w.shape.scale_type, w.scales.data(), count, w.stored_scales.data() + 1);
  decode_row(w.shape.scale_type, w.stored_scales.data() + 1, count, w.scales.data());
  for (int64_t i = 0; i < Weight::kRows * groups; ++i) {
    w.zeros.push_back(static_cast<int8_t>(random() % 15) - 7);
  }
}

void fill_index(Weight& w, std::mt19937& random) {
  if (!w.shape.sparse) return;
  constexpr unsigned kNibbles[] = {0x4, 0x8, 0xc, 0x9, 0xd, 0xe};  // all pairs first < second
  for (int64_t i = 0; i < Weight::kRows * w.columns / 8; ++i) {
    const unsigned byte = kNibbles[random() % 6] | kNibbles[random() % 6] << 4;
    w.index.push_back(static_cast<std::byte>(byte));
  }
}

void check_rows(const Shape& shape, int64_t columns, std::mt19937& random) {
  Weight w{.columns = columns, .shape = shape};
  fill_payload(w, random);
  fill_scales(w, random);
  fill_index(w, random);
  int wrong = 0;
  for (int64_t r = 0; r < Weight::kRows; ++r) {
    std::vector<float> out(static_cast<size_t>(columns) + 1, 77.0f);
    decode_weight_row(w.view(), r, out.data());
    for (int64_t c = 0; c < columns; ++c) {
      const float value = out[static_cast<size_t>(c)];
      wrong += !(value == w.expected(r, c));
      // A dropped column is plain zero even under a negative scale.
      if (!stored_place(w, r, c)) wrong += std::signbit(value);
    }
    CHECK(out.back() == 77.0f);
  }
  CAPTURE(shape.bits);
  CAPTURE(shape.group);
  CAPTURE(shape.zeros);
  CAPTURE(shape.sparse);
  CAPTURE(name(shape.scale_type));
  CAPTURE(shape.per_tensor);
  CHECK(wrong == 0);
}

TEST_CASE("integers: bits x group x zero points x 2:4 x scale type x per tensor") {
  std::mt19937 random(11);
  for (int bits : {0, 2, 3, 4, 5, 6, 7, 8}) {
    for (int64_t group : {0, 1, 2, 6, 32, 96, 672}) {
      for (bool zeros : {false, true}) {
        for (bool sparse : {false, true}) {
          for (DType scale_type : {DType::kF32, DType::kF16, DType::kBF16}) {
            for (bool per_tensor : {false, true}) {
              check_rows({bits, group, zeros, sparse, scale_type, per_tensor}, 672, random);
            }
          }
        }
      }
    }
  }
}

TEST_CASE("integers: rows that end inside a word") {
  std::mt19937 random(13);
  for (int bits = 2; bits <= 8; ++bits) {
    for (int64_t columns : {1, 7, 9, 255, 256, 257, 513}) {
      check_rows({bits, columns, true, false, DType::kF32, false}, columns, random);
    }
  }
}

TEST_CASE("plain scalars and blocks without scales are their own values") {
  std::vector<float> x(64);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i)) * 3;
  for (DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3, DType::kQ8_0,
                     DType::kQ4_0, DType::kQ4_1}) {
    CAPTURE(name(type));
    const int64_t bytes = row_bytes(type, 32);
    Bytes payload(static_cast<size_t>(2 * bytes));
    encode_row(type, x.data(), 64, payload.data());
    const WeightView view{
        .payload = payload.data(), .type = type, .rows = 2, .columns = 32, .row_stride = bytes};
    std::vector<float> all(64), row(32);
    decode_row(type, payload.data(), 64, all.data());
    decode_weight_row(view, 1, row.data());
    CHECK(row == std::vector<float>(all.begin() + 32, all.end()));
  }
}

TEST_CASE("fp8 with one scale a row, dense and 2:4") {
  const std::vector<float> dense = {0, 448, 0, -3.5f, 0.25f, 0, 0, 0};
  const std::vector<float> scales = {0.5f};
  std::vector<float> kept(4);
  Bytes index(1), payload(8);
  REQUIRE(compress_2_4(dense.data(), 8, kept.data(), index.data()));
  WeightView view{.payload = payload.data(),
                  .type = DType::kF8E4M3,
                  .rows = 1,
                  .columns = 8,
                  .row_stride = 8,
                  .scales = reinterpret_cast<const std::byte*>(scales.data()),
                  .scale_rows = 1,
                  .group = 8};
  const std::vector<float> expected = {0, 224, 0, -1.75f, 0.125f, 0, 0, 0};
  std::vector<float> out(8);
  encode_row(DType::kF8E4M3, dense.data(), 8, payload.data());
  decode_weight_row(view, 0, out.data());
  CHECK(out == expected);
  encode_row(DType::kF8E4M3, kept.data(), 4, payload.data());
  view.index = index.data();
  decode_weight_row(view, 0, out.data());
  CHECK(out == expected);
}

}  // namespace
}  // namespace hone
