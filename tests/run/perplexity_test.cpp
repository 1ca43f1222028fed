// Perplexity against plain sums, windows as the protocols say, and comparisons of two models.
#include "libcommon/run/perplexity.h"

#include <numeric>

#include "libcommon/base/error.h"
#include "libcommon/run/sampler.h"
#include "tests/run/models.h"

namespace hone {
namespace {

using namespace test;  // NOLINT

std::vector<int32_t> counting(int32_t count) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

std::unique_ptr<Session> open(const std::string& name, int64_t max_batch = 512) {
  return Session::create(load(testdata(name)), {.device = "cpu", .max_batch_tokens = max_batch});
}

TEST_CASE("windows without overlap drop the rest, unless it is all") {
  const auto windows = text_windows(counting(25), 10, 10);
  REQUIRE(windows.size() == 2);
  CHECK(windows[1].ids.front() == 10);
  CHECK(windows[1].ids.size() == 10);
  CHECK(windows[1].first_scored == 1);
  const auto rest = text_windows(counting(5), 10, 10);
  REQUIRE(rest.size() == 1);
  CHECK(rest[0].ids.size() == 5);
}

TEST_CASE("overlapping windows score every id but the first, once") {
  for (const int64_t stride : {1, 3, 4, 9}) {
    CAPTURE(stride);
    std::vector<int> scored(25, 0);
    for (const TextWindow& window : text_windows(counting(25), 10, stride)) {
      CHECK(window.ids.size() <= 10);
      for (size_t i = static_cast<size_t>(window.first_scored); i < window.ids.size(); ++i) {
        ++scored[static_cast<size_t>(window.ids[i])];
      }
    }
    CHECK(scored[0] == 0);
    CHECK(std::all_of(scored.begin() + 1, scored.end(), [](int n) { return n == 1; }));
  }
}

TEST_CASE("windows that make no sense are refused") {
  CHECK_THROWS_AS(text_windows(counting(25), 1, 1), Error);
  CHECK_THROWS_AS(text_windows(counting(25), 10, 11), Error);
  CHECK_THROWS_AS(text_windows(counting(25), 10, 0), Error);
  CHECK_THROWS_AS(text_windows(counting(1), 10, 10), Error);
}

TEST_CASE("documents begin with bos, are cut, and empty ones are left out") {
  const auto windows = document_windows({counting(30), {}, {7}}, 99, 10);
  REQUIRE(windows.size() == 2);
  CHECK(windows[0].ids.size() == 10);
  CHECK(windows[0].ids[0] == 99);
  CHECK(windows[1].ids == std::vector<int32_t>{99, 7});
  CHECK_THROWS_AS(document_windows({{7}}, std::nullopt, 10), Error);
}

TEST_CASE("perplexity is the mean of plain log-probabilities, whatever the chunks") {
  const auto session = open("tiny-llama");
  const std::vector<TextWindow> windows = {{counting(20), 1}, {counting(30), 12}};
  double sum = 0, squares = 0;
  int64_t count = 0;
  for (const TextWindow& window : windows) {
    session->reset(0);
    const std::vector<float> logits = copy(session->step(steps(window.ids)));
    const auto vocab = static_cast<size_t>(session->vocab());
    for (size_t i = static_cast<size_t>(window.first_scored); i < window.ids.size(); ++i) {
      const double nll =
          -log_probability(std::span(logits).subspan((i - 1) * vocab, vocab), window.ids[i]);
      sum += nll;
      squares += nll * nll;
      ++count;
    }
  }
  const double mean = sum / static_cast<double>(count);
  const double variance = (squares - sum * mean) / static_cast<double>(count - 1);
  for (const int64_t batch : {512, 7}) {
    const PerplexityResult result = perplexity(*open("tiny-llama", batch), windows);
    CHECK(result.nll.count == count);
    CHECK(result.nll.mean == doctest::Approx(mean).epsilon(1e-12));
    CHECK(result.nll.standard_error ==
          doctest::Approx(std::sqrt(variance / static_cast<double>(count))).epsilon(1e-9));
    CHECK(result.perplexity() == doctest::Approx(std::exp(mean)));
  }
}

TEST_CASE("a model beside itself has no divergence") {
  const auto a = open("tiny-llama");
  const auto b = open("tiny-llama");
  const std::vector<TextWindow> windows = {{counting(40), 1}};
  const ComparisonResult same = compare_predictions(*a, *b, windows);
  CHECK(same.kl.mean == 0);
  CHECK(same.kl_max == 0);
  CHECK(same.same_top.mean == 1);
  CHECK(same.nll_difference.mean == 0);
  CHECK(same.base.nll.mean == perplexity(*a, windows).nll.mean);
}

TEST_CASE("two models diverge by the formula") {
  const auto a = open("tiny-llama");
  const auto b = open("tiny-llama-yarn");
  REQUIRE(a->vocab() == b->vocab());
  const std::vector<int32_t> ids = {5, 6, 7};
  const std::vector<TextWindow> windows = {{ids, 2}};
  const ComparisonResult result = compare_predictions(*a, *b, windows);
  a->reset(0);
  b->reset(0);
  const std::vector<float> p = copy(a->step(steps({5, 6})));
  const std::vector<float> q = copy(b->step(steps({5, 6})));
  const auto vocab = static_cast<size_t>(a->vocab());
  double kl = 0;
  for (size_t id = 0; id < vocab; ++id) {
    const double log_p = log_probability(std::span(p).last(vocab), static_cast<int32_t>(id));
    const double log_q = log_probability(std::span(q).last(vocab), static_cast<int32_t>(id));
    kl += std::exp(log_p) * (log_p - log_q);
  }
  CHECK(result.kl.count == 1);
  CHECK(result.kl.mean == doctest::Approx(kl).epsilon(1e-9));
  CHECK(result.kl_max == result.kl.mean);
  CHECK(kl > 0.01);
}

TEST_CASE("models of different vocabularies cannot be compared") {
  const auto a = open("tiny-llama");
  const auto other = open("tiny-llama3");
  REQUIRE(a->vocab() != other->vocab());
  const std::vector<TextWindow> windows = {{counting(4), 1}};
  CHECK_THROWS_AS(compare_predictions(*a, *other, windows), Error);
}

}  // namespace
}  // namespace hone
