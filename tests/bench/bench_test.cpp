// Statistics, stationarity, report formats and the regression gate.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "libcommon/base/error.h"
#include "libcommon/base/rng.h"
#include "libcommon/bench/baseline.h"
#include "libcommon/bench/measure.h"
#include "libcommon/bench/report.h"
#include "libcommon/bench/stats.h"

using namespace hone;

TEST_CASE("median of odd, even, one and none") {
  CHECK(median({3, 1, 2}) == 2);
  CHECK(median({4, 1, 2, 3}) == 2.5);
  CHECK(median({7}) == 7);
  CHECK(std::isnan(median({})));
}

TEST_CASE("the bootstrap interval holds the true median about 95 times in 100") {
  int covered = 0;
  for (uint64_t trial = 0; trial < 60; ++trial) {
    std::vector<double> samples;
    for (uint64_t i = 0; i < 25; ++i) samples.push_back(10 + random_normal(5, trial, i));
    const Summary summary = summarize(samples);
    CHECK(summary.low <= summary.median);
    CHECK(summary.median <= summary.high);
    covered += summary.low <= 10 && 10 <= summary.high;
  }
  CHECK(covered >= 51);  // 95 % of 60 is 57; below 51 has a chance of 0.2 %
  CHECK(covered <= 60);
}

TEST_CASE("warm-up ends when times stop falling, and says when they do not") {
  int calls = 0;
  const auto settling = [&] { return ++calls < 6 ? 10.0 - calls : 1.0; };
  MeasureOptions options{.repetitions = 5, .max_warmups = 30, .max_seconds = 1e9};
  const std::vector<Samples> settled = measure_interleaved({settling}, options);
  CHECK(settled[0].stationary);
  CHECK(settled[0].seconds == std::vector<double>(5, 1.0));

  double growing = 1;
  const auto restless = [&] { return growing *= 1.5; };
  options.max_warmups = 8;
  CHECK_FALSE(measure_interleaved({restless}, options)[0].stationary);
}

TEST_CASE("bodies are measured in turns") {
  std::string order;
  const std::vector<std::function<double()>> bodies = {[&] {
                                                         order += 'a';
                                                         return 1.0;
                                                       },
                                                       [&] {
                                                         order += 'b';
                                                         return 1.0;
                                                       }};
  measure_interleaved(bodies, {.repetitions = 3, .max_warmups = 4, .max_seconds = 1e9});
  CHECK(order.substr(order.size() - 6) == "ababab");
}

TEST_CASE("one row in every format") {
  const std::vector<ReportColumn> columns = {{"model", "model"}, {"speed", "tokens/s", 1}};
  const std::vector<Json> rows = {{{"model", "a,b"}, {"speed", 12.345}}, {{"model", "c"}}};
  CHECK(report_text(columns, rows, ReportFormat::kCsv) == "model,speed\n\"a,b\",12.3\nc,-\n");
  CHECK(report_text(columns, rows, ReportFormat::kTable) ==
        "model  tokens/s\na,b        12.3\nc             -\n");
  CHECK(report_text(columns, rows, ReportFormat::kMarkdown) ==
        "| model | tokens/s |\n|-------|---------:|\n| a,b   |     12.3 |\n| c     |        - |\n");
}

TEST_CASE("the gate needs both a large and a significant slowdown") {
  const auto row = [](double speed, double low, double high) {
    return Json{{"model", "m"},
                {"test", "decode"},
                {"tokens_per_second", speed},
                {"low", low},
                {"high", high}};
  };
  const Json baseline = {{"results", {row(100, 98, 102)}}};
  const auto verdict = [&](const Json& now) {
    return compare_to_baseline({now}, baseline, 0.05, "b.json")[0].verdict;
  };
  CHECK(verdict(row(97, 96, 97.5)) == Verdict::kSame);     // significant, but small
  CHECK(verdict(row(90, 89, 91)) == Verdict::kSlower);     // large and significant
  CHECK(verdict(row(90, 80, 99)) == Verdict::kUndecided);  // large, not significant
  CHECK(verdict(row(110, 108, 112)) == Verdict::kFaster);
  CHECK(compare_to_baseline({{{"model", "other"}}}, baseline, 0.05, "b")[0].verdict ==
        Verdict::kNew);
  CHECK_THROWS_AS(compare_to_baseline({}, Json::object(), 0.05, "b.json"), Error);
  CHECK_THROWS_AS(
      compare_to_baseline({row(1, 1, 1)}, {{"results", {{{"model", "m"}, {"test", "decode"}}}}},
                          0.05, "b.json"),
      Error);
}

TEST_CASE("shares are read as percent or fraction") {
  CHECK(parse_share("5%", "--x") == doctest::Approx(0.05));
  CHECK(parse_share("0.1", "--x") == doctest::Approx(0.1));
  for (const char* bad : {"", "x", "-1%", "100%", "5 %"})
    CHECK_THROWS_AS(parse_share(bad, "--x"), Error);
}
