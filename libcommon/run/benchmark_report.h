// What hone-benchmark measured, as JSON rows, and those rows as a text for people.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "kernels/probe.h"
#include "libcommon/bench/gpu_meter.h"
#include "libcommon/bench/measure.h"
#include "libcommon/bench/report.h"
#include "libcommon/run/engine.h"
#include "libcommon/run/speed.h"

namespace hone {

// One model at one number of threads.
struct BenchmarkSubject {
  std::string name;  // as given on the command line
  int threads = 0;
  Engine engine;
};

// "tokens_per_second" with its interval "low".."high", "ms_per_token" (of one sequence), bytes and
// operations per second, each with its share of what the machine can do, and the raw samples.
// reads: the read bandwidth (ReadProbe) beside each sample, of which its share is taken; empty:
// the peak's.
Json speed_row(const BenchmarkSubject& subject, const SpeedTest& test, const Samples& samples,
               const MachinePeaks& peaks, std::span<const double> reads);

// To the row of a test on a GPU: "joules_per_token", and of this process's GPU at the end "watts",
// "sm_megahertz", "memory_megahertz", "slowed_by"; null where the driver does not tell.
void add_gpu_use(Json& row, const GpuState& state, std::optional<double> joules_per_token);

// Size, bits per weight, times, memory, backend, which layers run where. first_token_seconds: from
// opening the model.
Json model_row(const BenchmarkSubject& subject, double first_token_seconds);

Json peaks_row(int threads, const MachinePeaks& peaks);

// Speed table, then a line for each model, each quality row, the machine and the ranks, if several.
// CSV: the table only.
std::string benchmark_text(const Json& results, ReportFormat format);

}  // namespace hone
