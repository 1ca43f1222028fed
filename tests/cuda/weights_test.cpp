// Placing of every storage: what lies in device memory, read by the rules of weights.h, is what the
// codec decodes.
#include <cmath>

#include <numeric>

#include "kernels/cuda/weights.h"
#include "tests/cuda/fixture.h"

using namespace hone;

namespace {

template <class T>
std::vector<T> fetch(const void* from, int64_t count) {
  std::vector<T> values(static_cast<size_t>(count));
  device().copy_out(values.data(), from, values.size() * sizeof(T));
  return values;
}

int64_t element_bytes(const WeightView& w) { return w.packed_bits ? 0 : info(w.type).block_bytes; }

// The bytes of a row in the order of the file.
std::vector<std::byte> in_stored_order(const WeightView& w, const std::byte* row) {
  std::vector<std::byte> bytes(row, row + w.row_stride);
  if (element_bytes(w) > 1) return bytes;
  for (int64_t segment = 0; segment < w.row_stride; segment += 64) {
    for (int64_t lane = 0; lane < 4; ++lane) {
      for (int64_t word = 0; word < 4; ++word) {
        std::memcpy(bytes.data() + segment + 4 * (4 * word + lane),
                    row + segment + 16 * lane + 4 * word, 4);
      }
    }
  }
  return bytes;
}

// A copy in host memory, words in stored order: a view that the codec reads.
struct Fetched {
  std::vector<std::byte> payload;
  std::vector<std::byte> scales;
  std::vector<int8_t> zeros;
  WeightView view;
};

Fetched fetch_matrix(const WeightView& placed) {
  Fetched f;
  f.view = placed;
  const auto raw = fetch<std::byte>(placed.payload, placed.rows * placed.row_stride);
  for (int64_t r = 0; r < placed.rows; ++r) {
    const auto row = in_stored_order(placed, raw.data() + r * placed.row_stride);
    f.payload.insert(f.payload.end(), row.begin(), row.end());
  }
  f.view.payload = f.payload.data();
  if (!placed.scales) return f;
  const int64_t count = placed.rows * (placed.columns / placed.group);
  f.scales = fetch<std::byte>(placed.scales, row_bytes(placed.scale_type, count));
  f.view.scales = f.scales.data();
  if (placed.zeros) {
    f.zeros = fetch<int8_t>(placed.zeros, count);
    f.view.zeros = f.zeros.data();
  }
  return f;
}

bool is_scaled_form(const WeightView& w) {
  return w.packed_bits == 4 || w.type == DType::kI8 || w.type == DType::kF8E4M3;
}

// "" if a placed view keeps the promises of weights.h.
std::string broken_promise(const WeightView& w) {
  if (w.int8_input) return "int8_input";
  if (w.index && is_scaled_form(w) && w.group % 32 != 0 && w.group != w.columns) return "2:4 group";
  if (w.row_stride % 64 != 0) return "row stride";
  if (reinterpret_cast<uintptr_t>(w.payload) % 256 != 0) return "alignment";
  if (w.packed_bits != 0 && w.packed_bits != 4) return "bits";
  if (!is_scaled_form(w)) {
    if (w.type != DType::kF32 && w.type != DType::kF16 && w.type != DType::kBF16) return "type";
    return w.scales || w.zeros ? "scales of floats" : "";
  }
  if (!w.scales || w.scale_rows != w.rows) return "scales";
  const int64_t multiple = w.packed_bits ? 32 : 16;
  if (w.group != w.columns && w.group % multiple != 0) return "group";
  return "";
}

bool padding_is_zero(const Fetched& f) {
  const int64_t used = payload_row_bytes(f.view);
  for (int64_t r = 0; r < f.view.rows; ++r) {
    for (int64_t i = used; i < f.view.row_stride; ++i) {
      if (f.payload[static_cast<size_t>(r * f.view.row_stride + i)] != std::byte{0}) return false;
    }
  }
  return true;
}

// Whether every value is near the one expected; `rounded`: to F16.
std::string difference(std::span<const float> actual, std::span<const float> expected,
                       bool rounded) {
  for (size_t i = 0; i < expected.size(); ++i) {
    const float allowed = rounded ? std::abs(expected[i]) * 0x1p-11f + 0x1p-25f : 0;
    if (std::abs(actual[i] - expected[i]) <= allowed) continue;
    return "element " + std::to_string(i) + ": " + std::to_string(actual[i]) + ", expected " +
           std::to_string(expected[i]);
  }
  return "";
}

// 2:4 matrices, as embed reads them.
std::string check_sparse(const StoredMatrix& matrix, const WeightView& placed, bool rounded) {
  std::vector<int32_t> ids(static_cast<size_t>(placed.rows));
  std::iota(ids.begin(), ids.end(), 0);
  const auto device_ids = upload(ids);
  const auto out = unwritten<float>(static_cast<size_t>(placed.rows * placed.columns));
  device().run.embed(
      {.ids = device_ids.get(), .table = placed, .out = out.get(), .tokens = placed.rows});
  return difference(out.download(), matrix.decoded(), rounded);
}

std::string check(const StoredMatrix& matrix) {
  const WeightView placed = place(matrix);
  if (std::string broken = broken_promise(placed); !broken.empty()) return broken;
  if (placed.quantize_input != matrix.view().quantize_input) return "quantize_input";
  const bool rounded = is_block(matrix.view().type) && placed.type == DType::kF16;
  if (placed.index) return check_sparse(matrix, placed, rounded);
  const Fetched fetched = fetch_matrix(placed);
  if (!padding_is_zero(fetched)) return "padding";
  const std::vector<float> expected = matrix.decoded();
  std::vector<float> row(static_cast<size_t>(placed.columns));
  for (int64_t r = 0; r < placed.rows; ++r) {
    decode_weight_row(fetched.view, r, row.data());
    const auto expected_row = std::span(expected).subspan(static_cast<size_t>(r) * row.size());
    const std::string bad = difference(row, expected_row.first(row.size()), rounded);
    if (!bad.empty()) return "row " + std::to_string(r) + " " + bad;
  }
  return "";
}

}  // namespace

TEST_CASE("place: every storage keeps its values") {
  for (const Storage& storage : storages()) {
    if (storage.int8_input) continue;
    uint32_t seed = 1;
    const int64_t step = storage.step();
    for (const int64_t about : {int64_t{1}, int64_t{31}, int64_t{64}, int64_t{127}, int64_t{300}}) {
      const int64_t columns = (about + step - 1) / step * step;
      for (const int64_t rows : {1, 5}) {
        const StoredMatrix matrix(storage, rows, columns, ++seed);
        CHECK_MESSAGE(check(matrix) == "", storage.name << " " << rows << " x " << columns);
      }
    }
  }
}

TEST_CASE("place: integers and fp8 stay as small as they were") {
  const auto placed_type = [](const Storage& storage, int64_t columns) {
    const StoredMatrix matrix(storage, 3, columns, 1);
    const WeightView view = place(matrix);
    const std::string form = view.packed_bits ? "int4" : std::string(name(view.type));
    return form + (view.index ? " 2:4" : "");
  };
  const Storage int4{.name = "", .packed_bits = 4, .group = 32};
  const Storage int4_sparse{.name = "", .packed_bits = 4, .group = 64, .sparse = true};
  const Storage int4_small{.name = "", .packed_bits = 4, .group = 16};
  const Storage int3{.name = "", .packed_bits = 3, .group = 128};
  const Storage odd{.name = "", .packed_bits = 4, .group = 24};
  CHECK(placed_type(int4, 128) == "int4");
  CHECK(placed_type(int4_sparse, 128) == "int4 2:4");
  for (const int64_t group : {int64_t{32}, int64_t{96}, int64_t{128}, kPerRow, kPerTensor}) {
    CHECK(placed_type({.name = "", .packed_bits = 4, .group = group, .sparse = true}, 384) ==
          "int4 2:4");
    CHECK(placed_type({.name = "", .type = DType::kI8, .group = group, .sparse = true}, 384) ==
          "I8 2:4");
    CHECK(placed_type({.name = "", .type = DType::kF8E4M3, .group = group, .sparse = true}, 384) ==
          "F8E4M3 2:4");
  }
  for (const int64_t group : {16, 48}) {
    CHECK(placed_type({.name = "", .packed_bits = 4, .group = group, .sparse = true}, 96) == "I8");
    CHECK(placed_type({.name = "", .type = DType::kF8E4M3, .group = group, .sparse = true}, 96) ==
          "F8E4M3");
  }
  CHECK(placed_type({.name = "", .type = DType::kQ4_0, .sparse = true}, 128) == "int4 2:4");
  CHECK(placed_type({.name = "", .type = DType::kQ8_0, .sparse = true}, 128) == "I8 2:4");
  CHECK(placed_type({.name = "", .type = DType::kQ6_K, .sparse = true}, 512) == "I8 2:4");
  CHECK(placed_type({.name = "", .type = DType::kQ4_1, .sparse = true}, 128) == "F16 2:4");
  CHECK(placed_type({.name = "", .type = DType::kF32, .sparse = true}, 64) == "F32");
  CHECK(placed_type(int4_small, 128) == "I8");
  CHECK(placed_type(int3, 256) == "I8");
  CHECK(placed_type(odd, 96) == "F32");
  CHECK(placed_type({.name = "", .type = DType::kQ4_0}, 64) == "int4");
  CHECK(placed_type({.name = "", .type = DType::kQ8_0}, 64) == "I8");
  CHECK(placed_type({.name = "", .type = DType::kQ6_K}, 512) == "I8");
  CHECK(placed_type({.name = "", .type = DType::kIQ4_XS}, 512) == "I8");
  CHECK(placed_type({.name = "", .type = DType::kMXFP4}, 512) == "I8");
  CHECK(placed_type({.name = "", .type = DType::kQ4_K}, 512) == "F16");
  CHECK(placed_type({.name = "", .type = DType::kF8E4M3, .group = kPerRow}, 64) == "F8E4M3");
  CHECK(placed_type({.name = "", .type = DType::kBF16}, 64) == "BF16");
}

// Pieces of the way to the device are filled again while earlier ones are copied and placed.
TEST_CASE("place: a matrix of many pieces") {
  const StoredMatrix matrix({.name = "", .type = DType::kI8, .group = 64}, 1000, 1024, 3);
  cuda::DeviceInfo info;
  std::string why;
  REQUIRE(cuda::open_device(0, &info, &why));
  info.load_piece = 20 << 10;
  auto loader = std::make_unique<cuda::Loader>(info);
  const simt::Stream stream = cuda::make_stream(true);
  const DeviceArray<std::byte> memory(loader->placed_bytes(matrix.view()));
  const WeightView placed = loader->place(stream, matrix.view(), memory.get());
  loader.reset();
  stream.wait();
  const Fetched fetched = fetch_matrix(placed);
  std::vector<float> row(1024), expected(1024);
  for (int64_t r = 0; r < placed.rows; ++r) {
    decode_weight_row(fetched.view, r, row.data());
    decode_weight_row(matrix.view(), r, expected.data());
    CHECK(tolerance::same_bytes(row, expected));
  }
  cuda::close_stream(stream);
}

TEST_CASE("place: blocks beyond the range of F16 become F32") {
  constexpr int64_t kRows = 200, kRowBytes = row_bytes(DType::kQ4_1, 32);
  std::vector<std::byte> bytes(static_cast<size_t>(kRows * kRowBytes));
  const WeightView host = {.payload = bytes.data(),
                           .type = DType::kQ4_1,
                           .rows = kRows,
                           .columns = 32,
                           .row_stride = kRowBytes};
  CHECK(place(host).type == DType::kF16);
  std::vector<float> values(32);
  for (size_t i = 0; i < values.size(); ++i) values[i] = 60000.0f * static_cast<float>(i % 3);
  std::byte* const last = bytes.data() + (kRows - 1) * kRowBytes;
  encode_row(DType::kQ4_1, values.data(), 32, last);
  const uint16_t minimum = f32_to_f16(60000);
  std::memcpy(last + 2, &minimum, sizeof minimum);
  const WeightView placed = place(host);
  CHECK(placed.type == DType::kF32);
  std::vector<float> expected(32);
  decode_weight_row(host, kRows - 1, expected.data());
  const std::byte* const row = placed.payload + (kRows - 1) * placed.row_stride;
  CHECK(tolerance::same_bytes(fetch<float>(row, 32), expected));
}
