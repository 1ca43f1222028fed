// hone-benchmark: speed and quality of models, with the machine's own limits from the same run.
#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>

#include "kernels/open.h"
#include "kernels/parallel.h"
#include "libcommon/base/log.h"
#include "libcommon/bench/baseline.h"
#include "libcommon/bench/machine.h"
#include "libcommon/ranks/launch.h"
#include "libcommon/run/benchmark_report.h"
#include "libcommon/run/measure_speed.h"
#include "libcommon/run/quality.h"
#include "tools/benchmark_options.h"
#include "tools/quantized_engine.h"
#include "tools/session_of.h"

using namespace hone;

namespace {

BenchmarkOptions options;
Communicator* ranks = nullptr;  // the processes that this one works with, if any

BenchmarkSubject load(const std::string& where, int threads, int64_t sequences) {
  if (where == "-") require_piped_stdin();
  SessionOptions session = session_of(options.common, ranks);
  session.threads = threads;
  session.context = options.positions;
  session.sequences = sequences;
  const std::string name = where == "-" ? "(stdin)" : where;
  if (options.scheme.empty()) {
    return {.name = name, .threads = threads, .engine = open_engine(where, session)};
  }
  return {.name = name + " " + options.scheme,
          .threads = threads,
          .engine = open_quantized_engine(where, options.scheme, session)};
}

// Every model at every number of threads.
std::vector<BenchmarkSubject> load_all(const std::vector<int>& threads, int64_t sequences) {
  if (options.models.empty()) options.models.push_back("-");
  std::vector<BenchmarkSubject> subjects;
  for (const std::string& model : options.models) {
    if (model == "-" && threads.size() > 1) {
      throw usage_error("--threads: a model from a pipe is read once; give one number");
    }
    for (int count : threads) subjects.push_back(load(model, count, sequences));
  }
  return subjects;
}

// From opening to the first token of an eight-token prompt.
double first_token(BenchmarkSubject& subject) {
  const int64_t tokens = std::min<int64_t>(8, subject.engine.session->context());
  return subject.engine.model->load_seconds + subject.engine.session->create_seconds() +
         run_speed_test(*subject.engine.session, {SpeedKind::kPrefill, tokens, 0, 1});
}

// What the ranks, each probing at the same time, can do together.
MachinePeaks of_all_ranks(const MachinePeaks& own) {
  return {.read_bytes_per_second = sum_of_ranks(ranks, own.read_bytes_per_second),
          .flops_per_second = sum_of_ranks(ranks, own.flops_per_second),
          .bf16_flops_per_second = sum_of_ranks(ranks, own.bf16_flops_per_second),
          .int8_operations_per_second = sum_of_ranks(ranks, own.int8_operations_per_second)};
}

Peaks probe(const std::vector<int>& threads, std::vector<BenchmarkSubject>& subjects) {
  std::string why;
  if (!choose_cpu_instructions(&why)) throw usage_error(why);
  Peaks peaks;
  for (BenchmarkSubject& subject : subjects) {
    if (uses_gpu(subject) && !peaks.contains(0)) {
      peaks[0] = of_all_ranks(subject.engine.session->measure_peaks());
    }
  }
  if (!subjects.empty() && std::ranges::none_of(subjects, uses_cpu)) return peaks;
  for (int count : threads) peaks[count] = of_all_ranks(probe_machine(count));
  return peaks;
}

std::vector<Json> measure_quality(std::vector<BenchmarkSubject>& subjects) {
  if (options.text.empty()) return {};
  const std::string text = read_for_all(options.text, ranks);
  const QualityOptions quality = {.split = options.split,
                                  .context = options.context,
                                  .stride = options.stride,
                                  .max_windows = options.max_windows};
  std::optional<BenchmarkSubject> base;
  if (!options.against.empty()) base = load(options.against, subjects[0].threads, 1);
  std::vector<Json> rows;
  for (BenchmarkSubject& subject : subjects) {
    Engine& engine = subject.engine;
    rows.push_back(base ? comparison_row(base->engine, engine, subject.name, text, quality)
                        : perplexity_row(engine, subject.name, text, quality));
  }
  return rows;
}

void print_results(const Json& results) {
  if (ranks && ranks->rank() > 0) return;
  const std::string text =
      options.common.json ? results.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"
                          : benchmark_text(results, options.csv        ? ReportFormat::kCsv
                                                    : options.markdown ? ReportFormat::kMarkdown
                                                                       : ReportFormat::kTable);
  std::fputs(text.c_str(), stdout);
}

// The verdict against --baseline, a line for each test.
ExitCode judge(const std::vector<Json>& rows, const Json& baseline) {
  const double limit = parse_share(options.max_slowdown, "--max-slowdown");
  const auto comparisons = compare_to_baseline(rows, baseline, limit, options.baseline);
  ExitCode code = ExitCode::kOk;
  for (const Comparison& c : comparisons) {
    char ratio[32];
    std::snprintf(ratio, sizeof ratio, "%.3fx ", c.ratio);
    log_note(c.test + ": " + (c.verdict == Verdict::kNew ? "" : ratio) + verdict_name(c.verdict));
    if (c.verdict == Verdict::kSlower) code = ExitCode::kVerdict;
  }
  if (std::ranges::all_of(comparisons, [](auto& c) { return c.verdict == Verdict::kNew; })) {
    throw Error(options.baseline +
                ": has none of these tests; are models, threads and batch named "
                "as they were then?");
  }
  return code;
}

std::vector<int> thread_counts() {
  std::vector<int> counts;
  for (int64_t n : numbers(options.threads, "--threads", 0)) {
    counts.push_back(n > 0 ? static_cast<int>(n) : default_threads());
  }
  if (counts.empty()) throw usage_error("--threads: at least one number");
  // The machine alone: how it scales, unless one number was asked for.
  if (options.machine && options.threads == "0") {
    counts.clear();
    for (int n = 1; n < default_threads(); n *= 2) counts.push_back(n);
    counts.push_back(default_threads());
  }
  return counts;
}

std::vector<SpeedTest> wanted_tests(const std::vector<int64_t>& batches) {
  if (options.no_speed) return {};
  return speed_tests(numbers(options.prefill, "--prefill", 1),
                     numbers(options.decode, "--decode", 1), numbers(options.depth, "--depth", 0),
                     batches);
}

ExitCode measure() {
  check_benchmark_options(options);
  const std::vector<int> threads = thread_counts();
  const std::vector<int64_t> batches = numbers(options.batch, "--batch", 1);
  const std::vector<SpeedTest> tests = wanted_tests(batches);
  Json baseline;
  if (!options.baseline.empty()) {
    baseline = parse_json(read_for_all(options.baseline, ranks), options.baseline);
    compare_to_baseline({}, baseline, 0, options.baseline);  // refused before the work, not after
    const std::string changes = machine_change(baseline, machine_description());
    if (!changes.empty()) log_warning(options.baseline + ": of another machine: " + changes);
  }
  std::vector<BenchmarkSubject> subjects;
  if (!options.machine) {
    subjects = load_all(threads, batches.empty() ? 1 : std::ranges::max(batches));
  }
  Json results = {{"machine", machine_description()},
                  {"peaks", Json::array()},
                  {"models", Json::array()},
                  {"results", Json::array()},
                  {"quality", Json::array()}};
  if (ranks) results["ranks"] = ranks->size();
  if (ranks && !subjects.empty()) results["transport"] = subjects[0].engine.session->transport();
  check_fit(subjects, tests);
  for (BenchmarkSubject& subject : subjects) {
    results["models"].push_back(model_row(subject, first_token(subject)));
  }
  const int64_t peak_of_loading = peak_resident_bytes();
  const Peaks peaks = tests.empty() && !options.machine ? Peaks() : probe(threads, subjects);
  forget_peak_resident();  // the probe's buffers are no need of the model
  for (const auto& [count, peak] : peaks) results["peaks"].push_back(peaks_row(count, peak));
  const SpeedResults speed =
      measure_speed(subjects, tests, peaks, static_cast<int>(options.repetitions), ranks);
  const int64_t peak_of_speed = peak_resident_bytes() - speed.probe_bytes;
  forget_peak_resident();
  results["results"] = speed.rows;
  results["quality"] = measure_quality(subjects);
  results["peak_memory_bytes"] = std::max({peak_of_loading, peak_of_speed, peak_resident_bytes()});
  print_results(results);
  return baseline.is_null() ? ExitCode::kOk : judge(speed.rows, baseline);
}

RanksWanted wanted_ranks() {
  const int64_t count = options.common.tensor_parallel;
  const std::string option = "--tensor-parallel";
  if (count > 1 && (options.models.empty() || std::ranges::count(options.models, "-") > 0)) {
    mute_others();
    throw usage_error(option + ": models must be paths; standard input reaches one rank only");
  }
  return {count, option, history_line()};
}

ExitCode run() {
  set_verbose(options.common.verbose);
  return run_on_ranks(wanted_ranks(), [](Communicator* all) {
    ranks = all;
    return measure();
  });
}

}  // namespace

int main(int argc, char** argv) { return run_tool(declare_benchmark(options, run), argc, argv); }
