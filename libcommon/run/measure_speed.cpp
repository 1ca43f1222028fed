#include "libcommon/run/measure_speed.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <optional>
#include <string>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/bench/gpu_meter.h"
#include "libcommon/bench/measure.h"

namespace hone {
namespace {

// "matmul 41.0 %, gated-matmul 38.2 %, ...": the largest first.
std::string shares_text(const OpTimes& times) {
  std::vector<std::pair<double, OpKind>> sorted;
  double sum = 0;
  for (const auto& [kind, seconds] : times) {
    sorted.emplace_back(seconds, kind);
    sum += seconds;
  }
  std::sort(sorted.rbegin(), sorted.rend());
  std::string text;
  for (const auto& [seconds, kind] : sorted) {
    char share[16];
    std::snprintf(share, sizeof share, " %.1f %%", 100 * seconds / sum);
    text += (text.empty() ? "" : ", ") + std::string(op_name(kind)) + share;
  }
  return text;
}

// One test of one subject, as often as it is called.
struct Meter {
  BenchmarkSubject& subject;
  const SpeedTest& test;
  ReadProbe* probe;           // null: on a GPU alone
  Communicator* ranks;        // null: this process alone
  GpuUse gpu;                 // of runs on one
  std::vector<double> reads;  // bytes per second, after each sample
  OpTimes times;

  double sample() {
    Session& session = *subject.engine.session;
    session.time_ops(verbose() ? &times : nullptr);
    gpu.begin_run();
    const double own_seconds = run_speed_test(session, test);
    gpu.end_run();
    session.time_ops(nullptr);
    const double seconds = all_gather_number(ranks, own_seconds)[0];
    if (probe) reads.push_back(sum_of_ranks(ranks, probe->bytes_per_second()));
    return seconds;
  }

  // Of all ranks' GPUs; nothing where one does not tell.
  std::optional<double> joules_per_token() const {
    constexpr double kUntold = std::numeric_limits<double>::quiet_NaN();
    const double joules = sum_of_ranks(ranks, gpu.joules_per_run().value_or(kUntold));
    if (std::isnan(joules)) return std::nullopt;
    return joules / static_cast<double>(test.all_tokens());
  }

  // What the machine can do of the test. read: bytes per second of the CPU's memory; 0: as in
  // `peaks`.
  MachinePeaks limits(const Peaks& peaks, double read = 0) const {
    if (!probe) return peaks.at(0);
    MachinePeaks cpu = peaks.at(subject.threads);
    if (read > 0) cpu.read_bytes_per_second = read;
    return uses_gpu(subject) ? peaks_in_turns(*subject.engine.session, test, cpu, peaks.at(0))
                             : cpu;
  }

  // Beside each of the last `count` samples.
  std::vector<double> read_limits(const Peaks& peaks, size_t count) const {
    std::vector<double> limits_of_reads;
    for (const double read : std::span(reads).last(std::min(count, reads.size()))) {
      limits_of_reads.push_back(limits(peaks, read).read_bytes_per_second);
    }
    return limits_of_reads;
  }

  void tell(const Samples& samples) const {
    const std::string which = subject.name + ": " + test.name();
    if (!times.empty()) log_verbose(which + ": time by op: " + shares_text(times));
    if (samples.stationary) return;
    log_warning(which + ": times had not settled after the warm-up; is the machine busy?");
  }
};

}  // namespace

bool uses_cpu(const BenchmarkSubject& subject) {
  return subject.engine.session->parts().front().backend != "cuda";
}

bool uses_gpu(const BenchmarkSubject& subject) {
  return subject.engine.session->parts().back().backend == "cuda";
}

void check_fit(const std::vector<BenchmarkSubject>& subjects, const std::vector<SpeedTest>& tests) {
  for (const BenchmarkSubject& subject : subjects) {
    const int64_t context = subject.engine.session->context();
    for (const SpeedTest& test : tests) {
      if (test.depth + test.tokens <= context) continue;
      throw usage_error(subject.name + ": " + test.name() + " takes more positions than the " +
                        std::to_string(context) + " of its context; see --ctx");
    }
  }
}

SpeedResults measure_speed(std::vector<BenchmarkSubject>& subjects,
                           const std::vector<SpeedTest>& tests, const Peaks& peaks, int repetitions,
                           Communicator* ranks) {
  SpeedResults results;
  std::map<int, ReadProbe> probes;  // by number of threads
  for (const SpeedTest& test : tests) {
    std::vector<Meter> meters;
    for (BenchmarkSubject& subject : subjects) {
      const int threads = subject.threads;
      ReadProbe* const probe =
          uses_cpu(subject) ? &probes.try_emplace(threads, threads).first->second : nullptr;
      meters.push_back(
          {subject, test, probe, ranks, GpuUse(subject.engine.session->bus_id()), {}, {}});
    }
    std::vector<std::function<double()>> bodies;
    for (Meter& meter : meters) bodies.emplace_back([&meter] { return meter.sample(); });
    const auto samples = measure_interleaved(bodies, {.repetitions = repetitions});
    for (size_t i = 0; i < meters.size(); ++i) {
      const Meter& meter = meters[i];
      const std::vector<double> reads =  // without the warm-up's
          meter.read_limits(peaks, samples[i].seconds.size());
      results.rows.push_back(
          speed_row(meter.subject, test, samples[i], meter.limits(peaks), reads));
      if (uses_gpu(meter.subject)) {
        add_gpu_use(results.rows.back(), meter.gpu.state(), meter.joules_per_token());
      }
      meter.tell(samples[i]);
    }
  }
  for (const auto& [threads, probe] : probes) results.probe_bytes += probe.array_bytes();
  return results;
}

}  // namespace hone
