// Products of more tokens than matvec takes, of every storage, against the reference. Activations
// and weights are rounded to 16 bits on the way: tolerances are those of the formats.
#include <cmath>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/probe.h"
#include "tests/cuda/fixture.h"

using namespace hone;

namespace {

size_t size(int64_t count) { return static_cast<size_t>(count); }

const float* pointer(const DeviceArray<float>& array) {
  return array.size() ? array.get() : nullptr;
}
const float* pointer(const std::vector<float>& values) {
  return values.empty() ? nullptr : values.data();
}

struct Case {
  const StoredMatrix& matrix;
  std::vector<float> x;
  int64_t tokens;
  std::vector<float> norm = {};
  std::vector<float> bias = {};
  std::vector<float> residual = {};
  Activation activation = Activation::kNone;
  int64_t stride = 0;
};

std::vector<float> on_reference(const Case& c) {
  const WeightView& w = c.matrix.view();
  std::vector<float> out = poisoned(c.tokens * (c.stride ? c.stride : w.rows));
  reference().run.matmul({.x = c.x.data(),
                          .weight = w,
                          .out = out.data(),
                          .tokens = c.tokens,
                          .out_stride = c.stride,
                          .bias = pointer(c.bias),
                          .activation = c.activation,
                          .residual = pointer(c.residual),
                          .norm = {.weight = pointer(c.norm), .eps = 1e-5}});
  return out;
}

std::vector<float> on_device(const Case& c, const WeightView& placed) {
  const auto x = upload(c.x), residual = upload(c.residual);
  const auto norm = upload_constant(c.norm), bias = upload_constant(c.bias);
  const auto out = unwritten<float>(size(c.tokens * (c.stride ? c.stride : placed.rows)));
  device().run.matmul({.x = x.get(),
                       .weight = placed,
                       .out = out.get(),
                       .tokens = c.tokens,
                       .out_stride = c.stride,
                       .bias = pointer(bias),
                       .activation = c.activation,
                       .residual = pointer(residual),
                       .norm = {.weight = pointer(norm), .eps = 1e-5}});
  return out.download();
}

// sum_c |x[t, c]| |weight[r, c]|, of the normalised x where there is a norm.
std::vector<double> dot_magnitudes(const Case& c) {
  const WeightView& w = c.matrix.view();
  const std::vector<float> weights = c.matrix.decoded();
  std::vector<double> out(size(c.tokens * w.rows));
  for (int64_t t = 0; t < c.tokens; ++t) {
    const float* const x = c.x.data() + t * w.columns;
    double squares = 0;
    for (int64_t i = 0; i < w.columns; ++i) squares += double{x[i]} * x[i];
    const double factor =
        c.norm.empty() ? 1 : 1 / std::sqrt(squares / static_cast<double>(w.columns) + 1e-5);
    for (int64_t r = 0; r < w.rows; ++r) {
      double sum = 0;
      for (int64_t i = 0; i < w.columns; ++i) {
        sum += std::abs(factor * x[i] * (c.norm.empty() ? 1 : c.norm[size(i)]) *
                        weights[size(r * w.columns + i)]);
      }
      out[size(t * w.rows + r)] = sum;
    }
  }
  return out;
}

// What rounding to 16 bits may cost in this product.
double tolerance_of(const WeightView& stored, const WeightView& placed) {
  if (placed.type == DType::kF32 && placed.packed_bits == 0) return tolerance::kDot;
  if (placed.type == DType::kBF16) return tolerance::kBF16Input;
  if (stored.quantize_input && placed.type == DType::kI8 && placed.group == placed.columns &&
      !placed.zeros) {
    return tolerance::kDot;
  }
  return tolerance::kF16Product;
}

std::string check(const Case& c) {
  const WeightView placed = place(c.matrix);
  return tolerance::difference(on_device(c, placed), on_reference(c), dot_magnitudes(c),
                               tolerance_of(c.matrix.view(), placed));
}

// The vendor's library as it is where it has a kernel for nothing.
class Refusing final : public cuda::GemmLibrary {
 public:
  explicit Refusing(int* asked) : asked_(asked) {}
  bool multiply(simt::Stream, const Product&) override { return ++*asked_ < 0; }
  bool multiply(simt::Stream, const IntegerProduct&) override { return ++*asked_ < 0; }
  bool multiplies_fp8() const override { return true; }

 private:
  int* asked_;
};

// A product on the device with a library of the test's own, or none.
std::vector<float> with_library(const Case& c, const WeightView& placed,
                                std::unique_ptr<cuda::GemmLibrary> library) {
  const auto x = upload(c.x), out = unwritten<float>(size(c.tokens * placed.rows));
  const auto norm = upload_constant(c.norm);
  x.download();  // it is there: what follows has a stream of its own
  cuda::Context context;
  std::string why;
  REQUIRE(cuda::open_device(0, &context.device, &why));
  context.device.shared_bytes = 0;  // no route for tens of tokens
  context.gemm = std::move(library);
  context.stream = cuda::make_stream(cuda::may_overlap(context.device));
  cuda::matmul(reinterpret_cast<BackendContext&>(context),
               {.x = x.get(),
                .weight = placed,
                .out = out.get(),
                .tokens = c.tokens,
                .norm = {.weight = pointer(norm), .eps = 1e-5}});
  std::vector<float> result(out.size());
  cuda::copy_to_host(context.stream, result.data(), out.get(), result.size() * sizeof(float));
  cuda::close_stream(context.stream);
  return result;
}

}  // namespace

TEST_CASE("gemm: what the library has no kernel for, the own kernels multiply") {
  const Storage kinds[] = {
      {.name = "F32", .type = DType::kF32},
      {.name = "F16", .type = DType::kF16},
      {.name = "BF16", .type = DType::kBF16},
      {.name = "I8", .type = DType::kI8, .group = 32},
      {.name = "W8A8", .type = DType::kI8, .group = kPerRow, .quantize_input = true},
      {.name = "FP8", .type = DType::kF8E4M3, .group = kPerRow, .quantize_input = true}};
  for (const Storage& storage : kinds) {
    const StoredMatrix matrix(storage, 19, 96, 1);
    const WeightView placed = place(matrix);
    const Case c{matrix, normal_floats(17 * 96, 2), 17};
    int asked = 0;
    const auto refused = with_library(c, placed, std::make_unique<Refusing>(&asked));
    CHECK_MESSAGE(asked > 0, storage.name);
    const bool fp8 = storage.type == DType::kF8E4M3;  // without a library: by way of f16
    CHECK_MESSAGE(tolerance::same_bytes(refused, with_library(c, placed, nullptr)) == !fp8,
                  storage.name);
    CHECK_MESSAGE(
        tolerance::difference(refused, on_reference(c), dot_magnitudes(c),
                              fp8 ? tolerance::kDot : tolerance_of(c.matrix.view(), placed)) == "",
        storage.name);
  }
}

TEST_CASE("gemm: tokens are normalised and rounded to bytes in one pass") {
  for (const int64_t columns : {96, 97}) {
    const StoredMatrix matrix(
        {.name = "", .type = DType::kI8, .group = kPerRow, .quantize_input = true}, 19, columns, 1);
    Case c{matrix, normal_floats(17 * columns, 2), 17};
    c.norm = normal_floats(columns, 3);
    // A rounding of the norm may move a token by a step.
    CHECK(tolerance::difference(with_library(c, place(matrix), nullptr), on_reference(c),
                                dot_magnitudes(c), tolerance::kInt8Step) == "");
  }
}

TEST_CASE("gemm: every storage") {
  for (const Storage& storage : storages()) {
    if (storage.int8_input) continue;
    const int64_t step = storage.step();
    uint32_t seed = 1;
    for (const int64_t about : {int64_t{1}, int64_t{100}, int64_t{257}}) {
      const int64_t columns = (about + step - 1) / step * step;
      const StoredMatrix matrix(storage, 19, columns, ++seed);
      CHECK_MESSAGE(check({matrix, normal_floats(17 * columns, ++seed), 17}) == "",
                    storage.name << " " << columns);
    }
  }
}

TEST_CASE("gemm: tokens, rows and columns around the tiles") {
  const Storage kinds[] = {
      {.name = "F32", .type = DType::kF32},
      {.name = "F16", .type = DType::kF16},
      {.name = "BF16", .type = DType::kBF16},
      {.name = "int4", .packed_bits = 4, .group = 32, .scale_type = DType::kF16, .zeros = true},
      {.name = "I8", .type = DType::kI8, .group = 32, .scale_type = DType::kBF16},
      {.name = "F8", .type = DType::kF8E4M3, .group = kPerRow},
      {.name = "W8A8", .type = DType::kI8, .group = kPerRow, .quantize_input = true},
      {.name = "FP8", .type = DType::kF8E4M3, .group = kPerRow, .quantize_input = true}};
  uint32_t seed = 1;
  for (const Storage& storage : kinds) {
    for (const int64_t tokens : {17, 32, 33, 64, 65, 130, 300}) {
      const int64_t rows = tokens % 2 ? 65 : 128, columns = tokens % 3 ? 96 : 160;
      const StoredMatrix matrix(storage, rows, columns, ++seed);
      CHECK_MESSAGE(check({matrix, normal_floats(tokens * columns, ++seed), tokens}) == "",
                    storage.name << " " << tokens << " x " << rows << " x " << columns);
    }
  }
}

TEST_CASE("gemm: groups of every width, tens and hundreds of tokens") {
  const Storage kinds[] = {
      {.name = "I8 128", .type = DType::kI8, .group = 128},
      {.name = "int4 per row", .packed_bits = 4, .group = kPerRow},
      {.name = "int4 128", .packed_bits = 4, .group = 128, .scale_type = DType::kF16},
      {.name = "F8 32", .type = DType::kF8E4M3, .group = 32},
      {.name = "F8 128", .type = DType::kF8E4M3, .group = 128}};
  for (const Storage& storage : kinds) {
    const StoredMatrix matrix(storage, 33, 256, 1);
    for (const int64_t tokens : {40, 257}) {
      CHECK_MESSAGE(check({matrix, normal_floats(tokens * 256, 2), tokens}) == "",
                    storage.name << " " << tokens);
    }
  }
}

TEST_CASE("gemm: rows and columns that no vector divides, many tokens") {
  const Storage kinds[] = {
      {.name = "F32", .type = DType::kF32},
      {.name = "F16", .type = DType::kF16},
      {.name = "BF16", .type = DType::kBF16},
      {.name = "W8A8", .type = DType::kI8, .group = kPerRow, .quantize_input = true},
      {.name = "FP8", .type = DType::kF8E4M3, .group = kPerRow, .quantize_input = true}};
  for (const Storage& storage : kinds) {
    const StoredMatrix matrix(storage, 35, 97, 1);
    Case c{matrix, normal_floats(257 * 97, 2), 257};
    if (!storage.quantize_input) c.norm = normal_floats(97, 3);
    c.activation = Activation::kGelu;
    CHECK_MESSAGE(check(c) == "", storage.name);
  }
}

TEST_CASE("gemm: norm, bias, activation, residual and a stride between rows") {
  const Storage kinds[] = {
      {.name = "BF16", .type = DType::kBF16},
      {.name = "F32", .type = DType::kF32},
      {.name = "I8", .type = DType::kI8, .group = 32},
      {.name = "W8A8", .type = DType::kI8, .group = kPerRow, .quantize_input = true}};
  const int64_t tokens = 20, rows = 36, columns = 64, stride = 40;
  uint32_t seed = 1;
  for (const Storage& storage : kinds) {
    const StoredMatrix matrix(storage, rows, columns, ++seed);
    const WeightView placed = place(matrix);
    for (const bool norm : {false, true}) {
      for (const Activation activation : {Activation::kNone, Activation::kGelu}) {
        for (const bool residual : {false, true}) {
          Case c{matrix, normal_floats(tokens * columns, ++seed), tokens};
          if (norm) c.norm = normal_floats(columns, ++seed);
          c.bias = normal_floats(rows, ++seed);
          if (residual) c.residual = normal_floats(tokens * rows, ++seed);
          c.activation = activation;
          c.stride = stride;
          const std::vector<float> actual = on_device(c, placed), expected = on_reference(c);
          std::vector<double> magnitudes = dot_magnitudes(c);
          double factor = tolerance_of(matrix.view(), placed) * 1.2;
          // A rounding of the norm may move a token by a step of int8.
          if (norm && storage.quantize_input) factor = tolerance::kInt8Step;
          for (int64_t t = 0; t < tokens; ++t) {
            const std::span<const float> a(actual.data() + t * stride, size(stride));
            const std::span<const float> e(expected.data() + t * stride, size(stride));
            std::vector<double> allowed(size(rows));
            for (int64_t r = 0; r < rows; ++r) {
              allowed[size(r)] = magnitudes[size(t * rows + r)] + std::abs(c.bias[size(r)]) +
                                 (residual ? std::abs(c.residual[size(t * rows + r)]) : 0);
            }
            CHECK_MESSAGE(tolerance::difference(a.first(size(rows)), e.first(size(rows)), allowed,
                                                factor) == "",
                          storage.name);
            for (const float gap : a.subspan(size(rows))) CHECK(std::isnan(gap));
          }
        }
      }
    }
  }
}

TEST_CASE("gemm: every order of threads gives the same bytes; out may be the residual") {
  const StoredMatrix matrix({.name = "", .packed_bits = 4, .group = 32}, 70, 128, 1);
  const WeightView placed = place(matrix);
  Case c{matrix, normal_floats(33 * 128, 2), 33};
  c.residual = normal_floats(33 * 70, 3);
  const std::vector<float> expected = on_device(c, placed);
  in_every_order([&] {
    CHECK(tolerance::same_bytes(on_device(c, placed), expected));
    const auto x = upload(c.x), both = upload(c.residual);
    device().run.matmul(
        {.x = x.get(), .weight = placed, .out = both.get(), .tokens = 33, .residual = both.get()});
    CHECK(tolerance::same_bytes(both.download(), expected));
  });
}

TEST_CASE("gemm: NaN and infinities spread to their token alone; large numbers stay finite") {
  const Storage kinds[] = {
      {.name = "BF16", .type = DType::kBF16},
      {.name = "I8", .type = DType::kI8, .group = 32},
      {.name = "W8A8", .type = DType::kI8, .group = kPerRow, .quantize_input = true}};
  for (const Storage& storage : kinds) {
    const int64_t rows = 9, columns = 96, tokens = 18;
    const StoredMatrix matrix(storage, rows, columns, 1);
    const WeightView placed = place(matrix);
    Case c{matrix, normal_floats(tokens * columns, 2), tokens};
    const std::vector<float> clean = on_device(c, placed);
    for (const float bad : {kNaN, kInfinity, -kInfinity, 7e5f}) {
      c.x[size(3 * columns + 5)] = bad;
      const std::vector<float> actual = on_device(c, placed);
      CHECK_MESSAGE(tolerance::class_difference(actual, on_reference(c)) == "", storage.name);
      const std::span<const float> a(actual), b(clean);
      CHECK(tolerance::same_bytes(a.first(size(3 * rows)), b.first(size(3 * rows))));
      CHECK(tolerance::same_bytes(a.subspan(size(4 * rows)), b.subspan(size(4 * rows))));
    }
  }
}

namespace {

std::vector<float> product(const WeightView& weight, const float* x, int64_t tokens,
                           const float* bias = nullptr) {
  const auto out = unwritten<float>(size(tokens * weight.rows));
  device().run.matmul({.x = x, .weight = weight, .out = out.get(), .tokens = tokens, .bias = bias});
  return out.download();
}

void check_gate(const Storage& storage, int64_t rows, int64_t columns, int64_t tokens) {
  const auto x = upload(normal_floats(tokens * columns, 2));
  const StoredMatrix first(storage, rows, columns, 4), second(storage, rows, columns, 5);
  const WeightView gate = place(first), up = place(second);
  const auto out = unwritten<float>(size(tokens * rows));
  device().run.gated_matmul({.x = x.get(),
                             .gate = gate,
                             .up = up,
                             .out = out.get(),
                             .tokens = tokens,
                             .activation = Activation::kSilu});
  const auto left = upload(product(gate, x.get(), tokens));
  const auto right = upload(product(up, x.get(), tokens));
  device().run.gated_activation({.gate = left.get(),
                                 .up = right.get(),
                                 .out = left.get(),
                                 .count = tokens * rows,
                                 .activation = Activation::kSilu});
  CHECK_MESSAGE(tolerance::same_bytes(out.download(), left.download()), storage.name);
}

void check_qkv(const Storage& storage) {
  const int64_t rows = 36, columns = 96, tokens = 21;
  const auto x = upload(normal_floats(tokens * columns, 2));
  const auto bias = upload_constant(normal_floats(rows, 3));
  const StoredMatrix first(storage, rows, columns, 4), second(storage, rows, columns, 5);
  const StoredMatrix third(storage, 8, columns, 6);
  const WeightView weights[] = {place(first), place(second), place(third)};
  const auto q = unwritten<float>(size(tokens * rows)), k = unwritten<float>(size(tokens * rows));
  const auto v = unwritten<float>(size(tokens * 8));
  device().run.qkv_matmul({.x = x.get(),
                           .weight = {weights[0], weights[1], weights[2]},
                           .bias = {bias.get(), nullptr, bias.get()},
                           .out = {q.get(), k.get(), v.get()},
                           .tokens = tokens});
  CHECK(tolerance::same_bytes(q.download(), product(weights[0], x.get(), tokens, bias.get())));
  CHECK(tolerance::same_bytes(k.download(), product(weights[1], x.get(), tokens)));
  CHECK(tolerance::same_bytes(v.download(), product(weights[2], x.get(), tokens, bias.get())));
}

}  // namespace

TEST_CASE("gemm: gate and up, q k v equal their parts") {
  const Storage bf16{.name = "BF16", .type = DType::kBF16};
  const Storage w8a8{.name = "W8A8", .type = DType::kI8, .group = kPerRow, .quantize_input = true};
  for (const Storage& storage :
       {Storage{.name = "int4", .packed_bits = 4, .group = 32}, bf16, w8a8}) {
    check_gate(storage, 36, 96, 21);
    check_qkv(storage);
  }
  for (const int64_t rows : {35, 36}) {  // of too many tokens for gemm_few
    check_gate(bf16, rows, 32, 65);
    check_gate(w8a8, rows, 32, 257);
  }
}
