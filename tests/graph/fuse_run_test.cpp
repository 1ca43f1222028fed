// The fuse check on real weights: sound fusions pass on every tiny model, planted wrong ones do
// not.
#include "libcommon/graph/fuse_run.h"

#include "kernels/open.h"
#include "tests/run/models.h"

namespace hone {
namespace {

using namespace test;  // NOLINT

FuseReport checked(const std::string& name, std::span<const Fusion> rows,
                   const std::string& device = "cpu", FuseRunOptions options = {}) {
  const std::shared_ptr<const LoadedModel> model = load(testdata(name));
  std::string why;
  const std::unique_ptr<Backend> backend = open_backend(device, 1, &why);
  REQUIRE(backend != nullptr);
  const WeightTable weights = weight_table(*model);
  FuseReport report = fuse_report({.subject = name,
                                   .spec = model->spec,
                                   .weights = weights,
                                   .shape = {.tokens = 7, .wanted = 7},
                                   .rewrite = {.rows = rows}});
  options.measure = false;
  run_fusions(report, *model, *backend, options);
  return report;
}

TEST_CASE("fused chains of every tiny model stay inside their tolerances on both backends") {
  for (const std::string& name : tiny_models()) {
    for (const std::string device : {"cpu", "ref"}) {
      CAPTURE(name);
      CAPTURE(device);
      const FuseReport report = checked(name, fusions(), device);
      CHECK(report.passed());
      CHECK(report.has_fused("qkv"));
      REQUIRE(report.model.has_value());
      CHECK(report.model->fused_unfused.relative <= 1e-5);
      CHECK(report.model->fused_reference->relative <= 1e-5);
      for (const FusionLine& line : report.lines) {
        CHECK(line.check.has_value() == line.candidate.fused);
        if (!line.check) continue;
        CHECK(line.check->passed());
        CHECK(line.check->unfused_reference.has_value());
      }
    }
  }
}

// Each row is a plausible mistake in fusions.cpp; each must be caught by running it.
constexpr Fusion kWrong[] = {
    {"gate and up swapped", "u = matmul(x); g = matmul(x); a = unary(g); z = mul(a, u)",
     "z = gated_matmul(x)", "", "product"},
    {"gate and up swapped in the product", "a = unary(u); z = mul(a, g)",
     "z = gated_activation(g, u)", "", "pointwise"},
    {"k and v exchanged", "q = matmul+bias(x); k = matmul+bias(x); v = matmul+bias(x)",
     "q, v, k = qkv_matmul(x)", "", "product"},
    {"the residual forgotten", "y = matmul+bias(x); z = add(y, r)", "z = matmul(x)", "",
     "pointwise"},
};

TEST_CASE("a planted wrong fusion is caught") {
  for (const Fusion& wrong : kWrong) {
    CAPTURE(std::string(wrong.name));
    const FuseReport report = checked("tiny-llama", {&wrong, 1});
    CHECK(report.has_fused(wrong.name));
    CHECK_FALSE(report.passed());
    for (const FusionLine& line : report.lines) {
      if (!line.check) continue;
      CHECK_FALSE(line.check->passed());
      CHECK(line.check->fused_reference->relative > 100 * line.check->unfused_reference->relative);
    }
    CHECK(fuse_table(report).find("OUTSIDE") != std::string::npos);
    CHECK(fuse_json(report).at("passed") == false);
  }
}

TEST_CASE("a tolerance given by the user replaces those of the rows") {
  const FuseReport report =
      checked("tiny-llama", fusions(), "ref", {.tolerance = 0.0});  // ref keeps doubles when fused
  for (const FusionLine& line : report.lines) {
    if (line.check) CHECK(line.check->tolerance == 0.0);
  }
  CHECK_FALSE(report.passed());
}

TEST_CASE("differences count absolute, relative and ulp, and a NaN is infinite") {
  const float one = 1.0f;
  const float next = std::nextafter(one, 2.0f);
  const Difference same = compare(std::vector<float>{one, 2}, std::vector<float>{one, 2});
  CHECK(same.absolute == 0);
  CHECK(same.ulp == 0);
  const Difference step = compare(std::vector<float>{next, 2}, std::vector<float>{one, 2});
  CHECK(step.ulp == 1);
  CHECK(step.absolute == doctest::Approx(0x1p-23));
  CHECK(step.relative == doctest::Approx(0x1p-24));
  const Difference sign = compare(std::vector<float>{-0.0f}, std::vector<float>{0.0f});
  CHECK(sign.absolute == 0);
  CHECK(std::isinf(compare(std::vector<float>{NAN}, std::vector<float>{NAN}).relative));
  CHECK(std::isinf(compare(std::vector<float>{INFINITY}, std::vector<float>{1}).relative));
  // Below one per cent of the largest magnitude ulps are not counted.
  CHECK(compare(std::vector<float>{1e-9f, 100}, std::vector<float>{2e-9f, 100}).ulp == 0);
}

TEST_CASE("a header alone gives the same candidates as the model") {
  for (const std::string& name : tiny_models()) {
    CAPTURE(name);
    const auto reader = open_model(testdata(name));
    const ModelSpec spec = spec_from_checkpoint(reader->header(), name);
    const auto stored = stored_weights(reader->header(), name);
    const WeightTable weights = weight_table(spec, stored);
    const FuseReport header =
        fuse_report({.subject = name, .spec = spec, .weights = weights, .shape = {.tokens = 7}});
    const std::shared_ptr<const LoadedModel> model = load(testdata(name));
    const WeightTable loaded = weight_table(*model);
    const FuseReport full = fuse_report(
        {.subject = name, .spec = model->spec, .weights = loaded, .shape = {.tokens = 7}});
    CHECK(fuse_json(header) == fuse_json(full));
    CHECK(fuse_table(header) == fuse_table(full));
  }
}

TEST_CASE("the table groups identical layers, the drawing has every node") {
  const FuseReport report = checked("tiny-llama", fusions());
  const std::string table = fuse_table(report);
  CHECK(table.find("0-1") != std::string::npos);
  CHECK(table.find("Not fused, and why:") != std::string::npos);
  const std::string dot = dot_text(report.before, report.after);
  size_t labels = 0;
  for (size_t at = 0; (at = dot.find("\\n", at)) != std::string::npos; ++at) ++labels;
  CHECK(labels >= report.before.nodes.size() + report.after.nodes.size());
  CHECK(dot.find("gated-matmul") != std::string::npos);
}

}  // namespace
}  // namespace hone
