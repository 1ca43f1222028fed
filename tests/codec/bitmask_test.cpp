// Bitmasks: what packing keeps, and that rows come back.
#include <limits>
#include <vector>

#include "kernels/codec/codec.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

// A row of a matrix of one row, packed; decoded through a view with the mask.
struct Packed {
  std::vector<std::byte> payload;
  std::vector<std::byte> mask;
  std::vector<int64_t> row_offsets;
  std::vector<float> decoded;

  explicit Packed(const WeightView& dense)
      : payload(element_bytes(dense, dense.columns)),
        mask(mask_row_bytes(dense.columns), std::byte{0xff}),
        decoded(dense.columns, std::numeric_limits<float>::quiet_NaN()) {
    row_offsets = {0, compress_bitmask(dense, 0, payload.data(), mask.data())};
    WeightView view = dense;
    view.payload = payload.data();
    view.mask = mask.data();
    view.row_offsets = row_offsets.data();
    decode_weight_row(view, 0, decoded.data());
  }
};

TEST_CASE("bitmask: BF16 keeps everything but zeros of either sign") {
  for (const int64_t columns : {1, 63, 64, 65, 130}) {
    std::vector<uint16_t> bits(columns);
    std::vector<float> expected(columns);
    int64_t kept = 0;
    for (int64_t c = 0; c < columns; ++c) {
      static constexpr uint16_t kSome[] = {0x3f80, 0, 0x8000, 0x0001, 0xff80, 0, 0x4110};
      bits[c] = kSome[c * c % 7];
      expected[c] = bf16_to_f32(bits[c]);  // == does not tell -0 from 0
      kept += expected[c] != 0;
    }
    const WeightView dense{.payload = reinterpret_cast<const std::byte*>(bits.data()),
                           .type = DType::kBF16,
                           .rows = 1,
                           .columns = columns,
                           .row_stride = 2 * columns};
    const Packed packed(dense);
    CHECK(count_nonzeros(dense, 0) == kept);
    CHECK(packed.row_offsets[1] == kept);
    CHECK(packed.decoded == expected);
    for (int64_t c = columns; c < 8 * std::ssize(packed.mask); ++c) {  // padding
      CHECK((std::to_integer<unsigned>(packed.mask[c / 8]) >> c % 8 & 1) == 0);
    }
  }
}

TEST_CASE("bitmask: integers of 8 bits, as two's complement and as codes") {
  const std::vector<int8_t> values = {0, -128, 127, 0, 0, 1, -1, 0, 64};
  const auto columns = static_cast<int64_t>(values.size());
  const float scale = 0.5f;
  for (const int bits : {0, 8}) {
    std::vector<std::byte> payload(12);
    for (int64_t c = 0; c < columns; ++c) {
      payload[c] = static_cast<std::byte>(bits == 8 ? values[c] + 128 : values[c]);
    }
    const WeightView dense{.payload = payload.data(),
                           .type = bits == 8 ? DType::kI32 : DType::kI8,
                           .packed_bits = bits,
                           .rows = 1,
                           .columns = columns,
                           .row_stride = 12,
                           .scales = reinterpret_cast<const std::byte*>(&scale),
                           .scale_type = DType::kF32,
                           .scale_rows = 1,
                           .group = columns};
    const Packed packed(dense);
    CHECK(packed.row_offsets[1] == 5);
    CHECK(packed.mask[0] == std::byte{0x66});
    CHECK(packed.mask[1] == std::byte{0x01});
    for (int64_t c = 0; c < columns; ++c) CHECK(packed.decoded[c] == 0.5f * values[c]);
  }
}

}  // namespace
}  // namespace hone
