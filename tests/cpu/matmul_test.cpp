// Matrix products of every storage, on every dispatch level, against the reference.
#include <cmath>
#include <cstring>
#include <span>

#include "kernels/formats.h"
#include "tests/cpu/fixture.h"
#include "tests/support/tolerances.h"
// Last: its CHECK.
#include "tests/support/doctest.h"

using namespace hone;

namespace {

// Columns around every boundary: vectors of 1 to 16 lanes, int16 vectors of 32, chunks of 1024.
std::vector<int64_t> column_counts(const Storage& storage) {
  const int64_t step = storage.step();
  if (step == 1) return {1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 65, 1023, 1024, 1025};
  std::vector<int64_t> counts = {step, 2 * step, 3 * step};
  const int64_t chunk = 1024 / step * step;
  for (const int64_t count : {chunk - step, chunk, chunk + step, 2 * chunk + step}) {
    if (count > 3 * step) counts.push_back(count);
  }
  return counts;
}

struct Shape {
  int64_t rows;
  int64_t tokens;
};
// Rows around tiles of 4 and blocks of 16; tokens around tiles of 2 and 4, around what the integers
// of a few tokens are laid out for, 6, 8 and 12, and twice that; around the 16 of a tile register.
constexpr Shape kShapes[] = {{1, 1},  {4, 2},  {5, 3},  {3, 4},  {17, 5},  {7, 6},
                             {9, 7},  {6, 8},  {2, 9},  {15, 1}, {16, 1},  {33, 1},
                             {1, 12}, {2, 13}, {1, 24}, {1, 25}, {34, 16}, {3, 17}};

// Where a level is further from the reference than it may be.
std::string check_shape(const std::vector<Level>& levels, const Storage& storage, int64_t columns,
                        const Shape& shape, uint32_t seed) {
  const StoredMatrix matrix(storage, shape.rows, columns, seed);
  const std::vector<float> x = normal_floats(shape.tokens * columns, seed + 1);
  const auto expected = product(reference(), matrix.view(), x, shape.tokens);
  const auto magnitudes = dot_magnitudes(x, matrix, shape.tokens);
  for (const Level& level : levels) {
    const auto actual = product(*level.backend, matrix.view(), x, shape.tokens);
    const std::string bad = tolerance::difference(actual, expected, magnitudes, tolerance::kDot);
    if (bad.empty()) continue;
    return level.name + " " + storage.name + " [" + std::to_string(shape.rows) + ", " +
           std::to_string(columns) + "] x " + std::to_string(shape.tokens) + ": " + bad;
  }
  return "";
}

// Where tokens alone, and the first few of a batch, do not get the bytes that they get in it.
std::string check_company(Backend& backend, const WeightView& w, const std::vector<float>& x,
                          int64_t tokens) {
  const std::vector<float> batch = product(backend, w, x, tokens);
  for (const int64_t t : {0, 1, 11, 12, 23, 24, 28}) {
    const std::vector<float> token(x.begin() + t * w.columns, x.begin() + (t + 1) * w.columns);
    const std::span<const float> in_batch(batch.data() + t * w.rows, w.rows);
    if (!tolerance::same_bytes(product(backend, w, token, 1), in_batch)) {
      return "token " + std::to_string(t) + " alone";
    }
  }
  for (const int64_t few : {5, 7, 8, 13, 16, 24, 25, 26, 27, 28}) {
    const std::span<const float> in_batch(batch.data(), few * w.rows);
    if (!tolerance::same_bytes(product(backend, w, x, few), in_batch)) {
      return "the first " + std::to_string(few) + " tokens";
    }
  }
  return "";
}

// One token's sums may be added in 16 bits, those of two are added in 32.
template <typename Block>
void check_largest_block(DType type, const Block& block) {
  const int64_t rows = 17, columns = 2816;
  const std::vector<Block> blocks(rows * row_bytes(type, columns) / sizeof(Block), block);
  WeightView w;
  w.payload = reinterpret_cast<const std::byte*>(blocks.data());
  w.type = type;
  w.rows = rows;
  w.columns = columns;
  w.row_stride = row_bytes(type, columns);
  w.int8_input = true;
  for (const auto& [level, backend] : open_levels(1)) {
    for (const float x : {1.0f, -1.0f}) {
      const auto two = product(*backend, w, std::vector<float>(2 * columns, x), 2);
      const auto one = product(*backend, w, std::vector<float>(columns, x), 1);
      CHECK_MESSAGE(tolerance::same_bytes(one, std::span(two).first(rows)), level);
    }
  }
}

}  // namespace

TEST_CASE("matmul: every storage at every boundary, on every level") {
  const std::vector<Level> levels = open_levels(1);
  for (const Storage& storage : host_storages()) {
    uint32_t seed = 1;
    for (const int64_t columns : column_counts(storage)) {
      for (const Shape& shape : kShapes) {
        seed += 2;
        if (columns > 100 && seed / 2 % 3 != 0) continue;  // a third of the large ones
        CHECK(check_shape(levels, storage, columns, shape, seed) == "");
      }
    }
  }
}

TEST_CASE("matmul: a token alone gives the bytes it gives in a batch" *
          doctest::test_suite("long")) {
  const std::vector<Level> levels = open_levels(1);
  const int64_t tokens = 29;  // more than the integers of few
  for (const Storage& storage : host_storages()) {
    const int64_t least = 2075;  // more than a chunk; an odd number of blocks of any size
    const int64_t columns = (least + storage.step() - 1) / storage.step() * storage.step();
    const std::vector<float> x = normal_floats(tokens * columns, 6);
    // More than two blocks of rows: of 32 with 512 bits, of 16 and fewer without.
    const StoredMatrix high(storage, 70, columns, 5), low(storage, 38, columns, 5);
    for (const Level& level : levels) {
      const StoredMatrix& matrix = level.name.starts_with("avx3") ? high : low;
      CHECK_MESSAGE(check_company(*level.backend, matrix.view(), x, tokens) == "",
                    level.name << " " << storage.name);
    }
  }
}

// Tile registers take blocks of 16 tokens, of few (up to 64) half a block; areas have 128 rows.
TEST_CASE("matmul: a token alone gives the bytes it gets among others in tile registers") {
  const auto backend = open_level("avx3_amx", 2);
  if (!backend) {
    MESSAGE("skipped: no AMX here");
    return;
  }
  const int64_t rows = 166, most = 150;
  for (const Storage& storage : host_storages()) {
    if (!storage.int8_input && !storage.quantize_input && !storage.bf16_input) continue;
    const int64_t least = 600;
    const int64_t columns = (least + storage.step() - 1) / storage.step() * storage.step();
    const StoredMatrix matrix(storage, rows, columns, 3);
    const std::vector<float> x = normal_floats(most * columns, 4);
    for (const int64_t tokens : {5, 8, 9, 16, 17, 64, 65, 150}) {
      const std::vector<float> some(x.begin(), x.begin() + tokens * columns);
      const std::vector<float> batch = product(*backend, matrix.view(), some, tokens);
      for (int64_t t : {0, 4, 7, 15, 16, 63, 64, 127, 128, 149}) {
        t = std::min(t, tokens - 1);
        const std::vector<float> token(x.begin() + t * columns, x.begin() + (t + 1) * columns);
        const std::span<const float> in_batch(batch.data() + t * rows, rows);
        CHECK_MESSAGE(tolerance::same_bytes(product(*backend, matrix.view(), token, 1), in_batch),
                      storage.name << " " << t << " of " << tokens);
        if (t == tokens - 1) break;
      }
    }
  }
}

// Sums of a run are added in 16 bits where they fit.
TEST_CASE("matmul: the largest codes with the largest integers") {
  const int64_t rows = 17, columns = 17 * 128;
  const std::vector<std::byte> ones(rows * columns, std::byte{0xff});
  const std::vector<float> scales(rows * columns / 128, 1.0f);
  for (const auto& [level, backend] : open_levels(1)) {
    for (const int bits : {2, 4, 8}) {
      WeightView w;
      w.payload = ones.data();
      w.type = DType::kI32;
      w.packed_bits = bits;
      w.rows = rows;
      w.columns = columns;
      w.row_stride = columns * bits / 8;
      w.scales = reinterpret_cast<const std::byte*>(scales.data());
      w.scale_rows = rows;
      w.group = 128;
      w.int8_input = true;
      for (const float x : {1.0f, -1.0f}) {
        const float expected = x * static_cast<float>(columns * ((1 << (bits - 1)) - 1));
        for (const float value : product(*backend, w, std::vector<float>(columns, x), 1)) {
          CHECK_MESSAGE(value == doctest::Approx(expected).epsilon(1e-6), level << " " << bits);
        }
      }
    }
  }
}

TEST_CASE("matmul: blocks of the least and the largest codes with the largest integers") {
  constexpr uint16_t kOne = 0x3c00;
  for (const int byte : {0x00, 0xff}) {
    BlockQ4_0 q4_0{.d = kOne, .nibbles = {}};
    std::memset(q4_0.nibbles, byte, sizeof q4_0.nibbles);
    check_largest_block(DType::kQ4_0, q4_0);
    BlockQ4_K q4_k{.d = kOne, .dmin = kOne, .scales = {}, .nibbles = {}};
    std::memset(q4_k.scales, byte, sizeof q4_k.scales);
    std::memset(q4_k.nibbles, byte, sizeof q4_k.nibbles);
    check_largest_block(DType::kQ4_K, q4_k);
    BlockQ6_K q6_k{.nibbles = {}, .high_pairs = {}, .scales = {}, .d = kOne};
    std::memset(q6_k.nibbles, byte, sizeof q6_k.nibbles);
    std::memset(q6_k.high_pairs, byte, sizeof q6_k.high_pairs);
    for (const int factor : {-128, 127}) {
      std::memset(q6_k.scales, factor, sizeof q6_k.scales);
      check_largest_block(DType::kQ6_K, q6_k);
    }
  }
}

TEST_CASE("matmul: the same bytes for any number of threads") {
  const Storage storages[] = {
      {.name = "BF16", .type = DType::kBF16},
      {.name = "BF16 x bf16", .type = DType::kBF16, .bf16_input = true},
      {.name = "Q4_K", .type = DType::kQ4_K},
      {.name = "F32", .type = DType::kF32},
      {.name = "BF16 bitmask", .type = DType::kBF16, .bitmask = true},
      {.name = "4", .packed_bits = 4, .group = 128, .sparse = true, .int8_input = true},
      {.name = "8", .type = DType::kI8, .group = 128, .int8_input = true, .bitmask = true}};
  const int64_t rows = 1030, columns = 1280;
  const std::vector<Level> one = open_levels(1);
  for (const int threads : {2, 3, 5}) {
    const std::vector<Level> many = open_levels(threads);
    for (const Storage& storage : storages) {
      const StoredMatrix matrix(storage, rows, columns, 7);
      for (const int64_t tokens : {1, 5}) {
        const std::vector<float> x = normal_floats(tokens * columns, 8);
        for (size_t i = 0; i < one.size(); ++i) {
          CHECK_MESSAGE(tolerance::same_bytes(product(*one[i].backend, matrix.view(), x, tokens),
                                              product(*many[i].backend, matrix.view(), x, tokens)),
                        one[i].name << " " << storage.name << " " << threads);
        }
      }
    }
  }
}

TEST_CASE("matmul: a NaN of fp8 stays in its row; scales may be huge") {
  const int64_t columns = 400;
  std::vector<std::byte> payload(4 * columns, std::byte{0x31});
  payload[1 * columns + 130] = std::byte{0x7f};
  payload[2 * columns + 399] = std::byte{0xff};
  const float scales[] = {0.3f, 0.3f, 0.3f, 0x1.8p120f};  // 2^8 times the last has no float
  WeightView w;
  w.payload = payload.data();
  w.type = DType::kF8E4M3;
  w.rows = 4;
  w.columns = w.row_stride = w.group = columns;
  w.scales = reinterpret_cast<const std::byte*>(scales);
  w.scale_rows = 4;
  for (const std::string& level : levels()) {
    const auto backend = open_level(level, 1);
    for (const int64_t c : {0, 127, 128, 399}) {  // one column alone: its value
      std::vector<float> x(columns, 0.0f);
      x[c] = 1;
      const auto out = product(*backend, w, x, 1);
      const float value = f8e4m3_to_f32(0x31);
      INFO(level << " " << c);
      CHECK(out[0] == value * scales[0]);
      CHECK(std::isnan(out[1]));
      CHECK(std::isnan(out[2]));
      CHECK(out[3] == value * scales[3]);
    }
  }
}

// 2:4 expands two vectors at a time; a row can end after one, or in the middle of one.
TEST_CASE("matmul: a row of 2:4 may end anywhere, for one token as for two") {
  for (const std::string& level : levels()) {
    const auto backend = open_level(level, 1);
    for (const Storage& storage : host_storages()) {
      if (!storage.sparse) continue;
      for (int64_t columns = storage.step(); columns <= 1128; columns += storage.step()) {
        if (columns > 144 && columns < 1000) continue;
        const int64_t rows = 1 + columns / 8 % 7;
        const StoredMatrix matrix(storage, rows, columns, static_cast<uint32_t>(columns));
        const std::vector<float> x = normal_floats(2 * columns, 3);
        const std::vector<float> first(x.begin(), x.begin() + columns);
        const auto alone = product(*backend, matrix.view(), first, 1);
        const auto batch = product(*backend, matrix.view(), x, 2);
        const auto expected = product(reference(), matrix.view(), first, 1);
        const auto magnitudes = dot_magnitudes(first, matrix, 1);
        INFO(level << " " << storage.name << " [" << rows << ", " << columns << "]");
        CHECK(tolerance::difference(alone, expected, magnitudes, tolerance::kDot) == "");
        CHECK(tolerance::same_bytes(alone, std::span(batch).first(rows)));
      }
    }
  }
}

TEST_CASE("matmul: bias, activation, residual and a stride between rows") {
  const int64_t rows = 21, columns = 40, tokens = 3, stride = 30;
  const StoredMatrix matrix({.name = "", .type = DType::kBF16}, rows, columns, 1);
  const std::vector<float> x = normal_floats(tokens * columns, 2);
  const std::vector<float> bias = normal_floats(rows, 3);
  const std::vector<float> residual = normal_floats(tokens * rows, 4);
  for (const std::string& level : levels()) {
    const auto backend = open_level(level, 2);
    for (const Activation activation :
         {Activation::kNone, Activation::kSilu, Activation::kGelu, Activation::kGeluTanh}) {
      const auto run = [&](Backend& b) {
        std::vector<float> out = poisoned(tokens * stride);
        b.run.matmul({.x = x.data(),
                      .weight = matrix.view(),
                      .out = out.data(),
                      .tokens = tokens,
                      .out_stride = stride,
                      .bias = bias.data(),
                      .activation = activation,
                      .residual = residual.data()});
        return out;
      };
      const std::vector<float> actual = run(*backend);
      const std::vector<float> expected = run(reference());
      const std::vector<double> dots = dot_magnitudes(x, matrix, tokens);
      for (int64_t t = 0; t < tokens; ++t) {
        std::vector<double> magnitudes(rows);
        for (int64_t r = 0; r < rows; ++r) {
          magnitudes[r] = dots[t * rows + r] + std::abs(bias[r]) + std::abs(residual[t * rows + r]);
        }
        const std::span<const float> a(actual.data() + t * stride, stride);
        const std::span<const float> e(expected.data() + t * stride, stride);
        CHECK(tolerance::difference(a.first(rows), e.first(rows), magnitudes,
                                    1.2 * tolerance::kDot) == "");
        for (const float gap : a.subspan(rows)) CHECK(std::isnan(gap));
      }
    }
  }
}

TEST_CASE("matmul: out may be the residual") {
  const auto backend = open_level(levels().front(), 2);
  const StoredMatrix matrix({.name = "", .type = DType::kF32}, 19, 33, 1);
  const std::vector<float> x = normal_floats(2 * 33, 2);
  std::vector<float> apart = poisoned(2 * 19);
  std::vector<float> residual = normal_floats(2 * 19, 3);
  MatmulArgs args{.x = x.data(), .weight = matrix.view(), .out = apart.data(), .tokens = 2};
  args.residual = residual.data();
  backend->run.matmul(args);
  args.out = residual.data();
  backend->run.matmul(args);
  CHECK(tolerance::same_bytes(apart, residual));
}

TEST_CASE("matmul: NaN and infinities spread to their token alone") {
  for (const std::string& level : levels()) {
    const auto backend = open_level(level, 1);
    for (const Storage& storage : host_storages()) {
      const int64_t columns = (90 + storage.step() - 1) / storage.step() * storage.step();
      const StoredMatrix matrix(storage, 9, columns, 1);
      for (const float bad : {kNaN, kInfinity, -kInfinity}) {
        for (const int64_t at : {int64_t{0}, columns - 1}) {
          std::vector<float> x = normal_floats(3 * columns, 2);
          const auto clean = product(*backend, matrix.view(), x, 3);
          x[columns + at] = bad;
          const auto expected = product(reference(), matrix.view(), x, 3);
          const auto actual = product(*backend, matrix.view(), x, 3);
          CHECK_MESSAGE(tolerance::class_difference(actual, expected) == "",
                        level << " " << storage.name << " " << bad);
          const std::span<const float> a(actual), c(clean);
          CHECK(tolerance::same_bytes(a.first(9), c.first(9)));
          CHECK(tolerance::same_bytes(a.last(9), c.last(9)));
        }
      }
    }
  }
}

TEST_CASE("gated_matmul: equals its parts, also when the two matrices are stored differently") {
  const Storage kinds[] = {
      {.name = "", .type = DType::kBF16},
      {.name = "", .type = DType::kBF16, .bf16_input = true},
      {.name = "", .type = DType::kI8, .group = kPerRow, .quantize_input = true},
      {.name = "", .type = DType::kF8E4M3, .group = kPerRow, .quantize_input = true}};
  const int64_t rows = 37, columns = 96, tokens = 5;
  const std::vector<float> x = normal_floats(tokens * columns, 2);
  for (const std::string& level : levels()) {
    const auto backend = open_level(level, 3);
    for (const Storage& gate_storage : kinds) {
      for (const Storage& up_storage : kinds) {
        const StoredMatrix gate(gate_storage, rows, columns, 3);
        const StoredMatrix up(up_storage, rows, columns, 4);
        std::vector<float> out = poisoned(tokens * rows);
        backend->run.gated_matmul({.x = x.data(),
                                   .gate = gate.view(),
                                   .up = up.view(),
                                   .out = out.data(),
                                   .tokens = tokens,
                                   .activation = Activation::kSilu});
        std::vector<float> gates = product(*backend, gate.view(), x, tokens);
        const std::vector<float> ups = product(*backend, up.view(), x, tokens);
        backend->run.gated_activation({.gate = gates.data(),
                                       .up = ups.data(),
                                       .out = gates.data(),
                                       .count = tokens * rows,
                                       .activation = Activation::kSilu});
        CHECK(tolerance::same_bytes(out, gates));
      }
    }
  }
}

TEST_CASE("qkv_matmul: equals three products, whatever each is stored as") {
  const int64_t columns = 64, tokens = 3;
  const StoredMatrix q({.name = "", .packed_bits = 4, .group = 32}, 80, columns, 1);
  const StoredMatrix k({.name = "", .type = DType::kI8, .group = kPerRow, .quantize_input = true},
                       19, columns, 2);
  const StoredMatrix v({.name = "", .type = DType::kF16}, 1, columns, 3);
  const std::vector<float> x = normal_floats(tokens * columns, 4);
  const std::vector<float> bias = normal_floats(80, 5);
  const StoredMatrix* const matrices[] = {&q, &k, &v};
  for (const std::string& level : levels()) {
    const auto backend = open_level(level, 2);
    std::vector<float> outs[3];
    QkvMatmulArgs args{.x = x.data(),
                       .weight = {},
                       .bias = {bias.data(), nullptr, bias.data()},
                       .out = {},
                       .tokens = tokens};
    for (int i = 0; i < 3; ++i) {
      outs[i] = poisoned(tokens * matrices[i]->view().rows);
      args.weight[i] = matrices[i]->view();
      args.out[i] = outs[i].data();
    }
    backend->run.qkv_matmul(args);
    for (int i = 0; i < 3; ++i) {
      std::vector<float> alone = poisoned(outs[i].size());
      backend->run.matmul({.x = x.data(),
                           .weight = args.weight[i],
                           .out = alone.data(),
                           .tokens = tokens,
                           .bias = args.bias[i]});
      CHECK(tolerance::same_bytes(outs[i], alone));
    }
  }
}

TEST_CASE("embed: exactly the decoded rows of every storage") {
  for (const std::string& level : levels()) {
    const auto backend = open_level(level, 2);
    for (const Storage& storage : host_storages()) {
      for (const int64_t columns : column_counts(storage)) {
        const StoredMatrix table(storage, 5, columns, 1);
        const int32_t ids[] = {4, 0, 2, 2};
        std::vector<float> out = poisoned(4 * columns);
        backend->run.embed({.ids = ids, .table = table.view(), .out = out.data(), .tokens = 4});
        const std::vector<float> rows = table.decoded();
        for (int t = 0; t < 4; ++t) {
          const std::span<const float> row(rows.data() + ids[t] * columns, columns);
          const std::span<const float> got(out.data() + t * columns, columns);
          const std::vector<double> none(columns, 0.0);
          CHECK_MESSAGE(tolerance::difference(got, row, none, tolerance::kExact) == "",
                        level << " " << storage.name << " " << columns);
        }
      }
    }
  }
}

TEST_CASE("embed: all codes of the narrow floats") {
  for (const DType type : {DType::kF16, DType::kBF16, DType::kF8E4M3}) {
    const int64_t size = info(type).block_bytes;
    const int64_t codes = int64_t{1} << (8 * size);
    std::vector<std::byte> payload(codes * size);
    for (int64_t i = 0; i < codes; ++i) std::memcpy(payload.data() + i * size, &i, size);
    WeightView table;
    table.payload = payload.data();
    table.type = type;
    table.rows = 1;
    table.columns = codes;
    table.row_stride = codes * size;
    std::vector<float> expected(codes);
    decode_row(type, payload.data(), codes, expected.data());
    for (const std::string& level : levels()) {
      const auto backend = open_level(level, 1);
      std::vector<float> out = poisoned(codes);
      const int32_t id = 0;
      backend->run.embed({.ids = &id, .table = table, .out = out.data(), .tokens = 1});
      int64_t wrong = 0;
      for (int64_t i = 0; i < codes; ++i) {
        const bool both_nan = std::isnan(out[i]) && std::isnan(expected[i]);
        wrong += !both_nan && std::memcmp(&out[i], &expected[i], sizeof(float)) != 0;
      }
      CHECK_MESSAGE(wrong == 0, level << " " << name(type));
    }
  }
}
