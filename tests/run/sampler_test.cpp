// Sampling: each filter at its edges, the distribution that draws have, and what is refused. All
// backends draw the same tokens (tests/cpu, tests/cuda): here the CPU does.
#include "libcommon/run/sampler.h"

#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "kernels/open.h"
#include "libcommon/base/error.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

Sampled drawn(const std::vector<float>& logits, std::span<const int32_t> text,
              const SamplerOptions& options) {
  static const std::unique_ptr<Backend> backend = open_backend("cpu", 1, nullptr);
  const std::span<const int32_t> seen = penalised_ids(options, text);
  SampleRow row = sample_row(options, text.size());
  if (!seen.empty()) row.text = seen.data();
  row.text_length = static_cast<int64_t>(seen.size());
  Sampled out;
  backend->run.sample({.x = logits.data(),
                       .settings = &row,
                       .out = &out,
                       .log_probabilities = true,
                       .rows = 1,
                       .dim = static_cast<int64_t>(logits.size())});
  return out;
}

int32_t sample(const std::vector<float>& logits, std::span<const int32_t> text,
               const SamplerOptions& options) {
  return drawn(logits, text, options).id;
}

// Logits whose softmax is 0.5, 0.3, 0.15, 0.05 (ids 2, 0, 3, 1).
std::vector<float> known_logits() {
  return {std::log(0.3f), std::log(0.05f), std::log(0.5f), std::log(0.15f)};
}
constexpr float kFar = 1e30f;
constexpr double kProbability[] = {0.3, 0.05, 0.5, 0.15};

std::map<int32_t, int> draws(const std::vector<float>& logits, SamplerOptions options, int count) {
  std::map<int32_t, int> counts;
  for (int i = 0; i < count; ++i) {
    options.seed = static_cast<uint64_t>(i);
    ++counts[sample(logits, {}, options)];
  }
  return counts;
}

TEST_CASE("temperature 0 takes the largest, of equals the lowest id") {
  CHECK(sample(known_logits(), {}, {}) == 2);
  CHECK(sample(std::vector<float>{1, 3, 3, 2}, {}, {}) == 1);
  CHECK(greedy(std::vector<float>{-5, -5}) == 0);
}

TEST_CASE("draws follow the softmax") {
  constexpr int kDraws = 20000;
  const auto counts = draws(known_logits(), {.temperature = 1.0}, kDraws);
  double chi_square = 0;
  for (int32_t id = 0; id < 4; ++id) {
    const double expected = kProbability[id] * kDraws;
    chi_square += std::pow(counts.at(id) - expected, 2) / expected;
  }
  CHECK(chi_square < 16.27);  // three degrees of freedom: passed by 99.9 % of fair samplers
}

TEST_CASE("temperature sharpens and flattens") {
  const auto cold = draws(known_logits(), {.temperature = 0.5}, 5000);
  // p^2, normalised: 0.25 / 0.365
  CHECK(std::fabs(cold.at(2) / 5000.0 - 0.6849) < 0.03);
  const auto hot = draws(known_logits(), {.temperature = 1000.0}, 5000);
  for (int32_t id = 0; id < 4; ++id) CHECK(std::fabs(hot.at(id) / 5000.0 - 0.25) < 0.03);
}

TEST_CASE("top-k keeps the k likeliest") {
  CHECK(draws(known_logits(), {.temperature = 1, .top_k = 1}, 50).size() == 1);
  const auto two = draws(known_logits(), {.temperature = 1, .top_k = 2}, 2000);
  CHECK(two.size() == 2);
  CHECK(two.contains(2));
  CHECK(two.contains(0));
  CHECK(draws(known_logits(), {.temperature = 1, .top_k = 100}, 2000).size() == 4);
  // A tie at the edge goes to the lower ids.
  const auto tie = draws({1, 1, 1, 1}, {.temperature = 1, .top_k = 2}, 500);
  CHECK(tie.size() == 2);
  CHECK(tie.contains(0));
  CHECK(tie.contains(1));
}

TEST_CASE("top-p keeps the fewest that reach p, and always one") {
  const auto keeps = [](double p) {
    return draws(known_logits(), {.temperature = 1, .top_p = p}, 3000).size();
  };
  CHECK(keeps(1e-9) == 1);
  CHECK(keeps(0.49) == 1);
  CHECK(keeps(0.51) == 2);
  CHECK(keeps(0.79) == 2);
  CHECK(keeps(0.81) == 3);
  CHECK(keeps(0.96) == 4);
  CHECK(keeps(1.0) == 4);
}

TEST_CASE("min-p keeps what is likely enough beside the likeliest") {
  const auto keeps = [](double p) {
    return draws(known_logits(), {.temperature = 1, .min_p = p}, 3000).size();
  };
  CHECK(keeps(0.0) == 4);
  CHECK(keeps(0.09) == 4);  // 0.05 / 0.5 = 0.1
  CHECK(keeps(0.11) == 3);
  CHECK(keeps(0.59) == 2);  // 0.3 / 0.5 = 0.6
  CHECK(keeps(0.61) == 1);
  CHECK(keeps(1.0) == 1);
}

TEST_CASE("the repetition penalty divides positive and multiplies negative logits, once") {
  const std::vector<float> logits = {2.0f, 1.5f, -1.0f};
  const std::vector<int32_t> text = {0, 0, 0};
  CHECK(sample(logits, text, {.repetition_penalty = 1.2}) == 0);  // 1.667 > 1.5: counted once
  CHECK(sample(logits, text, {.repetition_penalty = 1.5}) == 1);  // 1.333 < 1.5
  const std::vector<float> negative = {-1.0f, -1.2f};
  CHECK(sample(negative, std::vector<int32_t>{0}, {.repetition_penalty = 1.5}) == 1);
  // A window of the last two ids has forgotten the first.
  const std::vector<int32_t> long_text = {0, 2, 2};
  CHECK(sample(logits, long_text, {.repetition_penalty = 1.5, .penalty_window = 2}) == 0);
  CHECK(sample(logits, long_text, {.repetition_penalty = 1.5, .penalty_window = 3}) == 1);
}

TEST_CASE("a draw depends on seed, stream and position alone") {
  const std::vector<float> flat(1000, 0.0f);
  const auto at = [&](uint64_t seed, uint64_t stream, size_t length) {
    return sample(flat, std::vector<int32_t>(length, 1),
                  {.temperature = 1, .seed = seed, .stream = stream});
  };
  CHECK(at(1, 2, 3) == at(1, 2, 3));
  CHECK(at(1, 2, 3) != at(2, 2, 3));
  CHECK(at(1, 2, 3) != at(1, 3, 3));
  CHECK(at(1, 2, 3) != at(1, 2, 4));
}

TEST_CASE("logits that are no numbers are refused with the cause") {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const std::vector<float>& logits :
       {std::vector<float>{1, kNan}, {kInf, 1}, {-kInf, -kInf}}) {
    CHECK(sample(logits, {}, {}) == -1);
    CHECK(sample(logits, {}, {.temperature = 1}) == -1);
    CHECK_THROWS_AS(check_logits(logits, 3), Error);
  }
  CHECK_NOTHROW(check_logits(std::vector<float>{-kInf, 1}, 3));
  CHECK(sample(std::vector<float>{-kInf, 1}, {}, {.temperature = 1}) == 1);
}

TEST_CASE("log-probabilities are those of the unmodified logits") {
  const std::vector<float> logits = {1.5f, -20, 3, 2.5f, -kFar, 0};
  const std::vector<int32_t> text = {2, 3};
  for (const double temperature : {0.0, 0.5, 100.0}) {
    const Sampled token =
        drawn(logits, text, {.temperature = temperature, .repetition_penalty = 2});
    CHECK(std::abs(log_probability(token) - log_probability(logits, token.id)) < 1e-7);
  }
  CHECK(log_probability(drawn({7, -kFar}, {}, {})) == 0);
}

TEST_CASE("options outside their range are usage errors that name the option") {
  const auto refuses = [](const SamplerOptions& options, const std::string& name) {
    try {
      check_sampler_options(options);
    } catch (const Error& error) {
      return error.code() == ExitCode::kUsage &&
             std::string(error.what()).find(name) != std::string::npos;
    }
    return false;
  };
  CHECK(refuses({.temperature = -1}, "--temperature"));
  CHECK(refuses({.temperature = std::nan("")}, "--temperature"));
  CHECK(refuses({.top_k = -1}, "--top-k"));
  CHECK(refuses({.top_p = 0}, "--top-p 0"));
  CHECK(refuses({.top_p = 1.5}, "--top-p 1.5"));
  CHECK(refuses({.min_p = 2}, "--min-p"));
  CHECK(refuses({.repetition_penalty = 0}, "--repetition-penalty"));
  CHECK_NOTHROW(check_sampler_options({}));
  CHECK_NOTHROW(check_sampler_options({.temperature = 2, .top_k = 5, .top_p = 0.5, .min_p = 1}));
}

TEST_CASE("log-probabilities are those of the softmax") {
  for (int32_t id = 0; id < 4; ++id) {
    CHECK(std::fabs(log_probability(known_logits(), id) - std::log(kProbability[id])) < 1e-6);
  }
  const std::vector<float> large = {1000.0f, 999.0f};
  CHECK(std::fabs(log_probability(large, 0) + std::log1p(std::exp(-1.0))) < 1e-9);
}

}  // namespace
}  // namespace hone
