// Norms, elementwise ops, embed, argmax and rounding of tokens on the device, against the
// reference.
#include <cmath>

#include "tests/cuda/fixture.h"

using namespace hone;

namespace {

// Around a thread's vectors, a warp, a block, and what a thread keeps in registers.
constexpr int64_t kDims[] = {1,   2,   3,    4,    5,    31,   32,   33,    127,  128,
                             129, 769, 2048, 4095, 4096, 4097, 4100, 16384, 16388};

constexpr Activation kActivations[] = {Activation::kNone, Activation::kSilu, Activation::kGelu,
                                       Activation::kGeluTanh};

std::vector<double> absolute(const std::vector<float>& values) {
  std::vector<double> out;
  for (const float v : values) out.push_back(std::abs(v));
  return out;
}

size_t size(int64_t count) { return static_cast<size_t>(count); }

struct Normed {
  std::vector<float> out;
  std::vector<float> sum;
};

template <class Args>
Args norm_args(const float* x, const float* weight, float* out, int64_t rows, int64_t dim) {
  Args args{};
  args.x = x;
  args.weight = weight;
  args.out = out;
  args.rows = rows;
  args.dim = dim;
  args.eps = 1e-5;
  return args;
}

// rms_norm, or layer_norm where there is a bias.
Normed on_reference(const std::vector<float>& x, const std::vector<float>* residual,
                    const std::vector<float>& weight, const std::vector<float>* bias, bool layer) {
  const auto dim = static_cast<int64_t>(weight.size());
  const auto rows = static_cast<int64_t>(x.size()) / dim;
  Normed n{poisoned(rows * dim), poisoned(rows * dim)};
  const auto run = [&](auto args, auto& op) {
    if (residual) args.residual = residual->data(), args.sum = n.sum.data();
    op(args);
  };
  if (layer) {
    auto args = norm_args<LayerNormArgs>(x.data(), weight.data(), n.out.data(), rows, dim);
    args.bias = bias ? bias->data() : nullptr;
    run(args, reference().run.layer_norm);
  } else {
    run(norm_args<RmsNormArgs>(x.data(), weight.data(), n.out.data(), rows, dim),
        reference().run.rms_norm);
  }
  return n;
}

Normed on_device(const std::vector<float>& x, const std::vector<float>* residual,
                 const std::vector<float>& weight, const std::vector<float>* bias, bool layer) {
  const auto dim = static_cast<int64_t>(weight.size());
  const auto rows = static_cast<int64_t>(x.size()) / dim;
  const auto dx = upload(x), dr = upload(residual ? *residual : std::vector<float>{});
  const auto dw = upload_constant(weight);
  const auto db = upload_constant(bias ? *bias : std::vector<float>{});
  const auto out = unwritten<float>(x.size()), sum = unwritten<float>(x.size());
  const auto run = [&](auto args, auto& op) {
    if (residual) args.residual = dr.get(), args.sum = sum.get();
    op(args);
  };
  if (layer) {
    auto args = norm_args<LayerNormArgs>(dx.get(), dw.get(), out.get(), rows, dim);
    args.bias = bias ? db.get() : nullptr;
    run(args, device().run.layer_norm);
  } else {
    run(norm_args<RmsNormArgs>(dx.get(), dw.get(), out.get(), rows, dim), device().run.rms_norm);
  }
  return {out.download(), residual ? sum.download() : std::vector<float>{}};
}

std::vector<int32_t> argmax(const std::vector<float>& x, int64_t rows) {
  const auto dx = upload(x);
  const auto out = upload(std::vector<int32_t>(size(rows), -7));
  device().run.argmax({.x = dx.get(),
                       .out = out.get(),
                       .rows = rows,
                       .dim = static_cast<int64_t>(x.size()) / rows});
  return out.download();
}

std::vector<int32_t> reference_argmax(const std::vector<float>& x, int64_t rows) {
  std::vector<int32_t> out(size(rows), -7);
  reference().run.argmax({.x = x.data(),
                          .out = out.data(),
                          .rows = rows,
                          .dim = static_cast<int64_t>(x.size()) / rows});
  return out;
}

}  // namespace

TEST_CASE("activations: all of the range, within a few ulp of |x|") {
  std::vector<float> x;
  for (float v = -130; v < 130; v += 0.0137f) x.push_back(v);
  for (float v = 1e-30f; v < 1e30f; v *= 7) x.push_back(v), x.push_back(-v);
  const std::vector<float> bad = {kNaN, kInfinity, -kInfinity, 0.0f, -0.0f, 1.0f, kNaN};
  const auto on_device = [](const std::vector<float>& in, Activation activation) {
    const auto dx = upload(in);
    const auto out = unwritten<float>(in.size());
    device().run.unary({.x = dx.get(),
                        .out = out.get(),
                        .count = static_cast<int64_t>(in.size()),
                        .activation = activation});
    return out.download();
  };
  const auto expected = [](const std::vector<float>& in, Activation activation) {
    std::vector<float> out(in.size());
    reference().run.unary({.x = in.data(),
                           .out = out.data(),
                           .count = static_cast<int64_t>(in.size()),
                           .activation = activation});
    return out;
  };
  for (const Activation activation : kActivations) {
    CHECK(tolerance::difference(on_device(x, activation), expected(x, activation), absolute(x),
                                tolerance::kActivation) == "");
    CHECK(tolerance::class_difference(on_device(bad, activation), expected(bad, activation)) == "");
  }
}

TEST_CASE("elementwise: every length, in place too") {
  for (const int64_t n : {1, 2, 3, 4, 5, 8, 33, 1023, 1024, 1025, 4099}) {
    const std::vector<float> a = normal_floats(n, 1), b = normal_floats(n, 2);
    std::vector<float> sums(size(n)), products(size(n)), gated(size(n));
    std::vector<double> magnitudes(size(n));
    for (size_t i = 0; i < size(n); ++i) {
      sums[i] = a[i] + b[i];
      products[i] = a[i] * b[i];
      magnitudes[i] = std::abs(double{a[i]} * b[i]);
    }
    reference().run.gated_activation({.gate = a.data(),
                                      .up = b.data(),
                                      .out = gated.data(),
                                      .count = n,
                                      .activation = Activation::kGeluTanh});
    const auto da = upload(a), db = upload(b), in_place = upload(a);
    const auto out = unwritten<float>(size(n)), gate_out = unwritten<float>(size(n));
    device().run.add({.a = da.get(), .b = db.get(), .out = out.get(), .count = n});
    CHECK(tolerance::same_bytes(out.download(), sums));
    device().run.mul({.a = in_place.get(), .b = db.get(), .out = in_place.get(), .count = n});
    CHECK(tolerance::same_bytes(in_place.download(), products));
    device().run.gated_activation({.gate = da.get(),
                                   .up = db.get(),
                                   .out = gate_out.get(),
                                   .count = n,
                                   .activation = Activation::kGeluTanh});
    CHECK(tolerance::difference(gate_out.download(), gated, magnitudes, tolerance::kActivation) ==
          "");
  }
}

TEST_CASE("elementwise: pointers that are not aligned give the bytes of those that are") {
  const int64_t n = 1030;
  const auto run = [](const BinaryArgs& of) {
    std::vector<std::vector<float>> results;
    const auto keep = [&] {
      std::vector<float> result(size(of.count));
      device().copy_out(result.data(), of.out, result.size() * sizeof(float));
      results.push_back(std::move(result));
    };
    device().run.add(of), keep();
    device().run.mul(of), keep();
    device().run.unary(
        {.x = of.a, .out = of.out, .count = of.count, .activation = Activation::kSilu});
    keep();
    device().run.gated_activation({.gate = of.a,
                                   .up = of.b,
                                   .out = of.out,
                                   .count = of.count,
                                   .activation = Activation::kSilu});
    keep();
    return results;
  };
  const std::vector<float> a = normal_floats(n + 1, 1), b = normal_floats(n + 1, 2);
  const auto da = upload(a), db = upload(b), out = unwritten<float>(size(n + 1));
  const auto aligned_a = upload(std::vector<float>(a.begin() + 1, a.end()));
  const auto aligned_b = upload(std::vector<float>(b.begin() + 1, b.end()));
  CHECK(run({.a = da.get() + 1, .b = db.get() + 1, .out = out.get() + 1, .count = n}) ==
        run({.a = aligned_a.get(), .b = aligned_b.get(), .out = out.get(), .count = n}));
}

TEST_CASE("add_bias and gather_rows: every length") {
  for (const int64_t dim : kDims) {
    const std::vector<float> x = normal_floats(3 * dim, 1), bias = normal_floats(dim, 2);
    const auto dx = upload(x), db = upload_constant(bias);
    const auto out = unwritten<float>(size(3 * dim)), gathered = unwritten<float>(size(4 * dim));
    device().run.add_bias(
        {.x = dx.get(), .bias = db.get(), .out = out.get(), .rows = 3, .dim = dim});
    const std::vector<int32_t> rows = {2, 0, 2, 1};
    const auto drows = upload(rows);
    device().run.gather_rows(
        {.x = dx.get(), .rows = drows.get(), .out = gathered.get(), .count = 4, .dim = dim});
    std::vector<float> expected(size(3 * dim)), chosen;
    for (size_t i = 0; i < expected.size(); ++i) expected[i] = x[i] + bias[i % size(dim)];
    for (const int32_t r : rows) {
      chosen.insert(chosen.end(), x.begin() + r * dim, x.begin() + (r + 1) * dim);
    }
    CHECK(tolerance::same_bytes(out.download(), expected));
    CHECK(tolerance::same_bytes(gathered.download(), chosen));
  }
}

TEST_CASE("rms_norm: every length, with and without residual") {
  for (const int64_t dim : kDims) {
    const std::vector<float> x = normal_floats(3 * dim, 1), residual = normal_floats(3 * dim, 2);
    const std::vector<float> weight = normal_floats(dim, 3);
    for (const std::vector<float>* add : {(const std::vector<float>*)nullptr, &residual}) {
      const Normed expected = on_reference(x, add, weight, nullptr, false);
      const Normed actual = on_device(x, add, weight, nullptr, false);
      CHECK_MESSAGE(tolerance::difference(actual.out, expected.out, absolute(expected.out),
                                          tolerance::kNorm) == "",
                    dim);
      if (add) CHECK(tolerance::same_bytes(actual.sum, expected.sum));
    }
  }
}

TEST_CASE("rms_norm: many rows, a row alone, in place, the sum over the residual") {
  in_every_order([] {
    const int64_t rows = 20, dim = 768;
    const std::vector<float> x = normal_floats(rows * dim, 1), weight = normal_floats(dim, 2);
    const Normed all = on_device(x, nullptr, weight, nullptr, false);
    const Normed expected = on_reference(x, nullptr, weight, nullptr, false);
    CHECK(tolerance::difference(all.out, expected.out, absolute(expected.out), tolerance::kNorm) ==
          "");
    const auto in_place = upload(x);
    const auto dw = upload_constant(weight);
    device().run.rms_norm(
        norm_args<RmsNormArgs>(in_place.get(), dw.get(), in_place.get(), rows, dim));
    CHECK(tolerance::same_bytes(in_place.download(), all.out));

    const std::vector<float> residual = normal_floats(rows * dim, 3);
    const Normed apart = on_device(x, &residual, weight, nullptr, false);
    const auto dx = upload(x), sum = upload(residual);
    const auto out = unwritten<float>(size(rows * dim));
    auto args = norm_args<RmsNormArgs>(dx.get(), dw.get(), out.get(), rows, dim);
    args.residual = args.sum = sum.get();
    args.residual = sum.get();
    device().run.rms_norm(args);
    CHECK(tolerance::same_bytes(out.download(), apart.out));
    CHECK(tolerance::same_bytes(sum.download(), apart.sum));
  });
}

TEST_CASE("norms: numbers whose squares are beyond f32") {
  const std::vector<float> x = {1e25f, -2e25f, 3e24f, 1e-3f}, weight = {1, 2, 3, 4};
  for (const bool layer : {false, true}) {
    const Normed expected = on_reference(x, nullptr, weight, nullptr, layer);
    const Normed actual = on_device(x, nullptr, weight, nullptr, layer);
    std::vector<double> magnitudes = absolute(expected.out);
    for (double& m : magnitudes) m += 1e-3;
    CHECK(tolerance::difference(actual.out, expected.out, magnitudes, tolerance::kNorm) == "");
  }
}

TEST_CASE("layer_norm: every length, residual, bias, and means far from zero") {
  for (const int64_t dim : kDims) {
    for (const float offset : {0.0f, 1000.0f}) {
      std::vector<float> x = normal_floats(2 * dim, 1);
      for (float& v : x) v += offset;
      const std::vector<float> residual = normal_floats(2 * dim, 2);
      const std::vector<float> weight = normal_floats(dim, 3), bias = normal_floats(dim, 4);
      const bool with_bias = dim % 2 == 1 || offset == 0;
      for (const std::vector<float>* add : {(const std::vector<float>*)nullptr, &residual}) {
        const std::vector<float>* const plus = with_bias ? &bias : nullptr;
        const Normed expected = on_reference(x, add, weight, plus, true);
        const Normed actual = on_device(x, add, weight, plus, true);
        std::vector<double> magnitudes = absolute(expected.out);
        for (size_t i = 0; i < magnitudes.size(); ++i) {
          magnitudes[i] += 2 * (plus ? std::abs(bias[i % size(dim)]) : 0) +
                           std::abs(weight[i % size(dim)]) * 1e-3;
        }
        CHECK_MESSAGE(
            tolerance::difference(actual.out, expected.out, magnitudes, tolerance::kNorm) == "",
            dim);
        if (add) CHECK(tolerance::same_bytes(actual.sum, expected.sum));
      }
    }
  }
}

TEST_CASE("argmax: every length, equals, and what is not finite") {
  for (const int64_t dim : {1, 2, 3, 4, 5, 255, 256, 257, 2047, 2048, 2049, 2052, 8193, 20000}) {
    std::vector<float> x = normal_floats(4 * dim, static_cast<uint32_t>(dim));
    CHECK(argmax(x, 4) == reference_argmax(x, 4));
    x[size(dim) - 1] = 9;  // the last
    x[size(dim)] = 9;      // the first
    x[size(2 * dim + dim / 2)] = 9;
    x[size(2 * dim + dim - 1)] = 9;  // an equal further on
    CHECK(argmax(x, 4) == reference_argmax(x, 4));
    x[size(3 * dim + dim / 3)] = kNaN;
    x[0] = kInfinity;
    CHECK(argmax(x, 4) == reference_argmax(x, 4));
    std::fill_n(x.begin(), dim, -kInfinity);
    std::fill_n(x.begin() + dim, dim, kInfinity);
    std::fill_n(x.begin() + 2 * dim, dim, 0.0f);
    x[size(2 * dim)] = -0.0f;
    CHECK(argmax(x, 4) == reference_argmax(x, 4));
  }
  in_every_order([] {
    const std::vector<float> x = normal_floats(3 * 9000, 5);
    CHECK(argmax(x, 3) == reference_argmax(x, 3));
    CHECK(argmax(x, 3) == reference_argmax(x, 3));  // the counters are back at zero
  });
}

TEST_CASE("embed: exactly the placed rows of every storage") {
  for (const Storage& storage : storages()) {
    if (storage.int8_input) continue;
    const int64_t step = storage.step();
    for (const int64_t about : {int64_t{1}, int64_t{63}, int64_t{128}, int64_t{201}}) {
      const int64_t columns = (about + step - 1) / step * step;
      const StoredMatrix table(storage, 5, columns, 1);
      const WeightView placed = place(table);
      const auto ids = upload(std::vector<int32_t>{4, 0, 2, 2});
      const auto out = unwritten<float>(size(4 * columns));
      device().run.embed({.ids = ids.get(), .table = placed, .out = out.get(), .tokens = 4});
      const std::vector<float> rows = table.decoded(), got = out.download();
      const bool rounded = is_block(table.view().type) && placed.type == DType::kF16;
      int64_t wrong = 0;
      const int32_t order[] = {4, 0, 2, 2};
      for (int64_t i = 0; i < 4 * columns; ++i) {
        const float expected = rows[size(order[i / columns] * columns + i % columns)];
        const float allowed = rounded ? std::abs(expected) * 0x1p-11f + 0x1p-25f : 0;
        wrong += !(std::abs(got[size(i)] - expected) <= allowed);
      }
      CHECK_MESSAGE(wrong == 0, storage.name << " " << columns);
    }
  }
}

TEST_CASE("embed: all codes of the narrow floats") {
  for (const DType type : {DType::kF16, DType::kBF16, DType::kF8E4M3}) {
    const int64_t bytes = info(type).block_bytes;
    const int64_t codes = int64_t{1} << (8 * bytes);
    std::vector<std::byte> payload(size(codes * bytes));
    for (int64_t i = 0; i < codes; ++i) std::memcpy(payload.data() + i * bytes, &i, size(bytes));
    WeightView table;
    table.payload = payload.data();
    table.type = type;
    table.rows = 1;
    table.columns = codes;
    table.row_stride = codes * bytes;
    std::vector<float> expected(size(codes));
    decode_row(type, payload.data(), codes, expected.data());
    const auto id = upload(std::vector<int32_t>{0});
    const auto out = unwritten<float>(size(codes));
    device().run.embed({.ids = id.get(), .table = place(table), .out = out.get(), .tokens = 1});
    const std::vector<float> got = out.download();
    int64_t wrong = 0;
    for (size_t i = 0; i < size(codes); ++i) {
      const bool both_nan = std::isnan(got[i]) && std::isnan(expected[i]);
      wrong += !both_nan && std::memcmp(&got[i], &expected[i], sizeof(float)) != 0;
    }
    CHECK_MESSAGE(wrong == 0, name(type));
  }
}
