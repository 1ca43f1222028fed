// Products of 1 to 16 tokens on the device, of every storage, against the reference.
#include <cmath>

#include "tests/cuda/fixture.h"

using namespace hone;

namespace {

// A product to be run on both backends. Pointers of `args` to what the host holds.
struct Case {
  const StoredMatrix& matrix;
  std::vector<float> x;
  int64_t tokens;
  std::vector<float> norm = {};
  std::vector<float> bias = {};
  std::vector<float> residual = {};
  Activation activation = Activation::kNone;
  int64_t stride = 0;
  double eps = 1e-5;

  int64_t out_count() const { return tokens * (stride ? stride : matrix.view().rows); }
};

const float* pointer(const std::vector<float>& v) { return v.empty() ? nullptr : v.data(); }

std::vector<float> on_reference(const Case& c) {
  std::vector<float> out = poisoned(c.out_count());
  reference().run.matmul({.x = c.x.data(),
                          .weight = c.matrix.view(),
                          .out = out.data(),
                          .tokens = c.tokens,
                          .out_stride = c.stride,
                          .bias = pointer(c.bias),
                          .activation = c.activation,
                          .residual = pointer(c.residual),
                          .norm = {.weight = pointer(c.norm), .eps = c.eps}});
  return out;
}

std::vector<float> on_device(const Case& c, const WeightView& placed) {
  const auto x = upload(c.x);
  const auto norm = upload_constant(c.norm);
  const auto bias = upload_constant(c.bias);
  const auto residual = upload(c.residual);
  const auto out = unwritten<float>(static_cast<size_t>(c.out_count()));
  device().run.matmul({.x = x.get(),
                       .weight = placed,
                       .out = out.get(),
                       .tokens = c.tokens,
                       .out_stride = c.stride,
                       .bias = c.bias.empty() ? nullptr : bias.get(),
                       .activation = c.activation,
                       .residual = c.residual.empty() ? nullptr : residual.get(),
                       .norm = {.weight = c.norm.empty() ? nullptr : norm.get(), .eps = c.eps}});
  return out.download();
}

std::vector<float> on_device(const Case& c) { return on_device(c, place(c.matrix)); }

// sum_c |x[t, c]| |weight[r, c]| for each [t, r], of normalised x where there is a norm.
std::vector<double> dot_magnitudes(const Case& c) {
  const WeightView& w = c.matrix.view();
  const std::vector<float> weights = c.matrix.decoded();
  std::vector<double> out(static_cast<size_t>(c.tokens * w.rows));
  for (int64_t t = 0; t < c.tokens; ++t) {
    const float* const x = c.x.data() + t * w.columns;
    double squares = 0;
    for (int64_t i = 0; i < w.columns; ++i) squares += double{x[i]} * x[i];
    const double factor =
        c.norm.empty() ? 1 : 1 / std::sqrt(squares / static_cast<double>(w.columns) + c.eps);
    for (int64_t r = 0; r < w.rows; ++r) {
      double sum = 0;
      for (int64_t i = 0; i < w.columns; ++i) {
        sum += std::abs(factor * x[i] * (c.norm.empty() ? 1 : c.norm[static_cast<size_t>(i)]) *
                        weights[static_cast<size_t>(r * w.columns + i)]);
      }
      out[static_cast<size_t>(t * w.rows + r)] = sum;
    }
  }
  return out;
}

std::string difference(const Case& c, double factor = tolerance::kSplitDot) {
  return tolerance::difference(on_device(c), on_reference(c), dot_magnitudes(c), factor);
}

// Storages without int8 activations in runs, which the device does not have.
std::vector<Storage> device_storages() {
  std::vector<Storage> all;
  for (const Storage& storage : storages()) {
    if (!storage.int8_input) all.push_back(storage);
  }
  return all;
}

// Around segments of 64 bytes, of which each of 8 strips gets none, one or some.
std::vector<int64_t> column_counts(const Storage& storage) {
  const int64_t step = storage.step();
  std::vector<int64_t> counts;
  for (const int64_t near : {1, 31, 32, 33, 63, 64, 65, 128, 130, 255, 257, 520, 2100}) {
    counts.push_back((near + step - 1) / step * step);
  }
  counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
  return counts;
}

std::string check_storage(const Storage& storage) {
  uint32_t seed = 1;
  for (const int64_t columns : column_counts(storage)) {
    const int64_t rows = std::array{1, 15, 16, 17, 33}[seed % 5];
    const int64_t tokens = std::array{1, 2, 3, 4, 5, 8, 9, 16}[seed % 8];
    const StoredMatrix matrix(storage, rows, columns, ++seed);
    const Case c{.matrix = matrix, .x = normal_floats(tokens * columns, ++seed), .tokens = tokens};
    const bool rounds = matrix.view().type != DType::kF16 && place(matrix).type == DType::kF16;
    const std::string bad = difference(c, rounds ? tolerance::kHalfWeights : tolerance::kSplitDot);
    if (bad.empty()) continue;
    return storage.name + " [" + std::to_string(rows) + ", " + std::to_string(columns) + "] x " +
           std::to_string(tokens) + ": " + bad;
  }
  return "";
}

// The kinds of placed matrices.
std::vector<Storage> placed_kinds() {
  return {
      {.name = "F32", .type = DType::kF32},
      {.name = "F16", .type = DType::kF16},
      {.name = "BF16", .type = DType::kBF16},
      {.name = "I8 per row", .type = DType::kI8, .group = kPerRow},
      {.name = "I8 128", .type = DType::kI8, .group = 128, .scale_type = DType::kBF16},
      {.name = "I8 32", .type = DType::kI8, .group = 32, .scale_type = DType::kF16},
      {.name = "F8 per row", .type = DType::kF8E4M3, .group = kPerRow},
      {.name = "F8 16", .type = DType::kF8E4M3, .group = 16},
      {.name = "int4 per row", .packed_bits = 4, .group = kPerRow, .zeros = true},
      {.name = "int4 32", .packed_bits = 4, .group = 32, .scale_type = DType::kF16},
      {.name = "int4 96", .packed_bits = 4, .group = 96, .scale_type = DType::kF16, .zeros = true},
      {.name = "int4 128",
       .packed_bits = 4,
       .group = 128,
       .scale_type = DType::kBF16,
       .zeros = true},
      {.name = "int4 2:4 64",
       .packed_bits = 4,
       .group = 64,
       .scale_type = DType::kF16,
       .zeros = true,
       .sparse = true},
      {.name = "int4 2:4 32", .packed_bits = 4, .group = 32, .sparse = true},
      {.name = "int4 2:4 per row", .packed_bits = 4, .group = kPerRow, .sparse = true},
      {.name = "I8 2:4 96",
       .type = DType::kI8,
       .group = 96,
       .scale_type = DType::kBF16,
       .zeros = true,
       .sparse = true},
      {.name = "I8 2:4 per row", .type = DType::kI8, .group = kPerRow, .sparse = true},
      {.name = "F8 2:4 32",
       .type = DType::kF8E4M3,
       .group = 32,
       .scale_type = DType::kF16,
       .sparse = true},
      {.name = "F8 2:4 per row", .type = DType::kF8E4M3, .group = kPerRow, .sparse = true}};
}

}  // namespace

TEST_CASE("matvec: every storage at every boundary") {
  for (const Storage& storage : device_storages()) CHECK(check_storage(storage) == "");
}

TEST_CASE("matvec: the same in every order of threads") {
  in_every_order([] {
    for (const Storage& storage : placed_kinds()) {
      const int64_t columns = (700 + storage.step() - 1) / storage.step() * storage.step();
      const StoredMatrix matrix(storage, 40, columns, 3);
      const Case c{.matrix = matrix,
                   .x = normal_floats(5 * columns, 4),
                   .tokens = 5,
                   .norm = normal_floats(columns, 5)};
      CHECK_MESSAGE(difference(c) == "", storage.name);
    }
  });
}

TEST_CASE("matvec: a token has the same bytes in any company") {
  for (const Storage& storage : placed_kinds()) {
    const int64_t columns = (1100 + storage.step() - 1) / storage.step() * storage.step();
    const StoredMatrix matrix(storage, 50, columns, 5);
    const WeightView placed = place(matrix);
    const std::vector<float> x = normal_floats(16 * columns, 6);
    const std::vector<float> norm = normal_floats(columns, 7);
    const std::vector<float> all =
        on_device({.matrix = matrix, .x = x, .tokens = 16, .norm = norm}, placed);
    for (const int64_t tokens : {1, 2, 4, 5, 8, 11}) {
      const std::vector<float> some(x.begin() + 2 * columns, x.begin() + (2 + tokens) * columns);
      const auto out =
          on_device({.matrix = matrix, .x = some, .tokens = tokens, .norm = norm}, placed);
      CHECK_MESSAGE(tolerance::same_bytes(out, std::span(all).subspan(2 * 50, out.size())),
                    storage.name << " " << tokens);
    }
  }
}

TEST_CASE("matvec: long rows, and tokens that shared memory does not hold at once") {
  std::vector<Storage> kinds = placed_kinds();
  kinds.push_back({.name = "int4 per row, no zeros", .packed_bits = 4, .group = kPerRow});
  kinds.push_back({.name = "F8 128", .type = DType::kF8E4M3, .group = 128});
  kinds.push_back({.name = "F16 2:4", .type = DType::kF16, .sparse = true});
  kinds.push_back({.name = "BF16 2:4", .type = DType::kBF16, .sparse = true});
  for (const Storage& storage : kinds) {
    const int64_t columns = 28672 / storage.step() * storage.step();
    const StoredMatrix matrix(storage, 3, columns, 1);
    const std::vector<float> x = normal_floats(6 * columns, 2);
    const Case c{.matrix = matrix, .x = x, .tokens = 6};
    CHECK_MESSAGE(difference(c) == "", storage.name);
    const std::vector<float> last(x.end() - columns, x.end());
    const auto out = on_device(c);
    CHECK(tolerance::same_bytes(on_device({.matrix = matrix, .x = last, .tokens = 1}),
                                std::span(out).last(3)));
  }
}

TEST_CASE("matvec: more tiles than blocks") {
  for (const Storage& storage : placed_kinds()) {
    const int64_t columns = (130 + storage.step() - 1) / storage.step() * storage.step();
    const StoredMatrix matrix(storage, 1300, columns, 1);
    const Case c{.matrix = matrix, .x = normal_floats(columns, 2), .tokens = 1};
    CHECK_MESSAGE(difference(c) == "", storage.name);
  }
}

TEST_CASE("matvec: activations of any size, with room for each in f16") {
  for (const Storage& storage : placed_kinds()) {
    const int64_t columns = (300 + storage.step() - 1) / storage.step() * storage.step();
    const StoredMatrix matrix(storage, 20, columns, 1);
    for (const float size : {1e-30f, 1e-6f, 1e6f, 1e25f}) {
      const Case c{.matrix = matrix, .x = normal_floats(2 * columns, 2, size), .tokens = 2};
      CHECK_MESSAGE(difference(c) == "", storage.name << " " << size);
    }
  }
}

TEST_CASE("matvec: NaN and infinities spread to their token alone") {
  for (const Storage& storage : placed_kinds()) {
    if (storage.sparse) continue;  // pruned weights meet nothing: below
    const int64_t columns = (90 + storage.step() - 1) / storage.step() * storage.step();
    const StoredMatrix matrix(storage, 9, columns, 1);
    for (const float bad : {kNaN, kInfinity, -kInfinity}) {
      for (const int64_t at : {int64_t{0}, columns - 1}) {
        Case c{.matrix = matrix, .x = normal_floats(3 * columns, 2), .tokens = 3};
        const std::vector<float> clean = on_device(c);
        c.x[static_cast<size_t>(columns + at)] = bad;
        const std::vector<float> actual = on_device(c);
        CHECK_MESSAGE(tolerance::class_difference(actual, on_reference(c)) == "",
                      storage.name << " " << bad);
        CHECK(tolerance::same_bytes(std::span(actual).first(9), std::span(clean).first(9)));
        CHECK(tolerance::same_bytes(std::span(actual).last(9), std::span(clean).last(9)));
      }
    }
  }
}

TEST_CASE("matvec: 2:4 matrices make NaN of what is not finite") {
  for (const Storage& storage :
       {Storage{.name = "", .type = DType::kBF16, .sparse = true},
        Storage{.name = "", .type = DType::kF16, .sparse = true},
        Storage{.name = "", .type = DType::kF8E4M3, .group = kPerRow, .sparse = true},
        Storage{.name = "", .packed_bits = 4, .group = kPerRow, .sparse = true}}) {
    const StoredMatrix matrix(storage, 9, 96, 1);
    for (const float bad : {kNaN, kInfinity, -kInfinity}) {
      Case c{.matrix = matrix, .x = normal_floats(3 * 96, 2), .tokens = 3};
      const std::vector<float> clean = on_device(c);
      c.x[96 + 17] = bad;
      const std::vector<float> actual = on_device(c);
      for (size_t i = 9; i < 18; ++i) CHECK(std::isnan(actual[i]));
      CHECK(tolerance::same_bytes(std::span(actual).first(9), std::span(clean).first(9)));
      CHECK(tolerance::same_bytes(std::span(actual).last(9), std::span(clean).last(9)));
    }
  }
}

TEST_CASE("matvec: bias, activation, residual and a stride between rows") {
  const int64_t rows = 21, columns = 72, tokens = 6, stride = 30;
  const Storage kinds[] = {{.name = "", .type = DType::kBF16}, {.name = "", .type = DType::kF32}};
  for (const Storage& storage : kinds) {
    const StoredMatrix matrix(storage, rows, columns, 1);
    for (const Activation activation :
         {Activation::kNone, Activation::kSilu, Activation::kGelu, Activation::kGeluTanh}) {
      const Case c{.matrix = matrix,
                   .x = normal_floats(tokens * columns, 2),
                   .tokens = tokens,
                   .bias = normal_floats(rows, 3),
                   .residual = normal_floats(tokens * rows, 4),
                   .activation = activation,
                   .stride = stride};
      const std::vector<float> actual = on_device(c);
      const std::vector<float> expected = on_reference(c);
      std::vector<double> magnitudes = dot_magnitudes(c);
      for (int64_t t = 0; t < tokens; ++t) {
        const std::span<double> of_token(magnitudes.data() + t * rows, rows);
        for (int64_t r = 0; r < rows; ++r) {
          of_token[static_cast<size_t>(r)] +=
              std::abs(c.bias[static_cast<size_t>(r)]) +
              std::abs(c.residual[static_cast<size_t>(t * rows + r)]);
        }
        const std::span<const float> a(actual.data() + t * stride, stride);
        const std::span<const float> e(expected.data() + t * stride, stride);
        CHECK(tolerance::difference(a.first(rows), e.first(rows), of_token,
                                    1.2 * tolerance::kSplitDot) == "");
        for (const float gap : a.subspan(rows)) CHECK(std::isnan(gap));
      }
    }
  }
}

TEST_CASE("matvec: out may be the residual") {
  const StoredMatrix matrix({.name = "", .type = DType::kBF16}, 19, 33, 1);
  Case c{.matrix = matrix, .x = normal_floats(2 * 33, 2), .tokens = 2};
  c.residual = normal_floats(2 * 19, 3);
  const std::vector<float> apart = on_device(c);
  const auto x = upload(c.x), residual = upload(c.residual);
  device().run.matmul({.x = x.get(),
                       .weight = place(matrix),
                       .out = residual.get(),
                       .tokens = 2,
                       .residual = residual.get()});
  CHECK(tolerance::same_bytes(apart, residual.download()));
}

TEST_CASE("matvec: gated_matmul equals its parts") {
  const int64_t rows = 37, tokens = 5;
  for (const Storage& storage : placed_kinds()) {
    const int64_t columns = (600 + storage.step() - 1) / storage.step() * storage.step();
    const StoredMatrix gate(storage, rows, columns, 3), up(storage, rows, columns, 4);
    const std::vector<float> values = normal_floats(tokens * columns, 2);
    const auto x = upload(values);
    const auto norm = upload_constant(normal_floats(columns, 6));
    const InputNorm with_norm{.weight = norm.get(), .eps = 1e-6};
    const auto out = unwritten<float>(tokens * rows), gates = unwritten<float>(tokens * rows);
    const auto ups = unwritten<float>(tokens * rows);
    const WeightView placed_gate = place(gate), placed_up = place(up);
    device().run.gated_matmul({.x = x.get(),
                               .gate = placed_gate,
                               .up = placed_up,
                               .out = out.get(),
                               .tokens = tokens,
                               .activation = Activation::kSilu,
                               .norm = with_norm});
    device().run.matmul({.x = x.get(),
                         .weight = placed_gate,
                         .out = gates.get(),
                         .tokens = tokens,
                         .activation = Activation::kSilu,
                         .norm = with_norm});
    device().run.matmul(
        {.x = x.get(), .weight = placed_up, .out = ups.get(), .tokens = tokens, .norm = with_norm});
    std::vector<float> product = gates.download();
    const std::vector<float> factors = ups.download();
    for (size_t i = 0; i < product.size(); ++i) product[i] *= factors[i];
    CHECK_MESSAGE(tolerance::same_bytes(out.download(), product), storage.name);
  }
}

TEST_CASE("matvec: qkv_matmul equals three products") {
  const int64_t tokens = 3, rows[3] = {80, 19, 1};
  for (const Storage& storage : placed_kinds()) {
    const int64_t columns = (200 + storage.step() - 1) / storage.step() * storage.step();
    const auto x = upload(normal_floats(tokens * columns, 4));
    const auto bias = upload_constant(normal_floats(80, 5));
    QkvMatmulArgs args{.x = x.get(),
                       .weight = {},
                       .bias = {bias.get(), nullptr, bias.get()},
                       .out = {},
                       .tokens = tokens};
    std::vector<DeviceArray<float>> outs;
    for (int i = 0; i < 3; ++i) {
      args.weight[i] = place(StoredMatrix(storage, rows[i], columns, static_cast<uint32_t>(i)));
      outs.push_back(unwritten<float>(static_cast<size_t>(tokens * rows[i])));
      args.out[i] = outs.back().get();
    }
    device().run.qkv_matmul(args);
    for (int i = 0; i < 3; ++i) {
      const auto alone = unwritten<float>(static_cast<size_t>(tokens * rows[i]));
      device().run.matmul({.x = x.get(),
                           .weight = args.weight[i],
                           .out = alone.get(),
                           .tokens = tokens,
                           .bias = args.bias[i]});
      CHECK_MESSAGE(
          tolerance::same_bytes(outs[static_cast<size_t>(i)].download(), alone.download()),
          storage.name);
    }
  }
}

TEST_CASE("matvec: matrices that are stored differently") {
  const Storage kinds[] = {
      {.name = "", .type = DType::kBF16},
      {.name = "", .packed_bits = 4, .group = 32, .zeros = true},
      {.name = "", .type = DType::kI8, .group = kPerRow, .quantize_input = true},
      {.name = "", .type = DType::kF8E4M3, .group = kPerRow, .quantize_input = true}};
  const int64_t rows = 37, columns = 96, tokens = 5;
  const auto x = upload(normal_floats(tokens * columns, 2));
  const auto one = [&](const WeightView& weight, Activation activation) {
    const auto out = unwritten<float>(tokens * rows);
    device().run.matmul({.x = x.get(),
                         .weight = weight,
                         .out = out.get(),
                         .tokens = tokens,
                         .activation = activation});
    return out.download();
  };
  for (const Storage& first : kinds) {
    for (const Storage& second : kinds) {
      const WeightView a = place(StoredMatrix(first, rows, columns, 3));
      const WeightView b = place(StoredMatrix(second, rows, columns, 4));
      const auto out = unwritten<float>(tokens * rows);
      device().run.gated_matmul({.x = x.get(),
                                 .gate = a,
                                 .up = b,
                                 .out = out.get(),
                                 .tokens = tokens,
                                 .activation = Activation::kSilu});
      std::vector<float> product = one(a, Activation::kSilu);
      const std::vector<float> factors = one(b, Activation::kNone);
      for (size_t i = 0; i < product.size(); ++i) product[i] *= factors[i];
      CHECK(tolerance::same_bytes(out.download(), product));

      const DeviceArray<float> outs[3] = {unwritten<float>(tokens * rows),
                                          unwritten<float>(tokens * rows),
                                          unwritten<float>(tokens * rows)};
      device().run.qkv_matmul({.x = x.get(),
                               .weight = {a, b, a},
                               .bias = {},
                               .out = {outs[0].get(), outs[1].get(), outs[2].get()},
                               .tokens = tokens});
      CHECK(tolerance::same_bytes(outs[1].download(), factors));
      CHECK(tolerance::same_bytes(outs[2].download(), one(a, Activation::kNone)));
    }
  }
}
