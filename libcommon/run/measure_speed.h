// The speed tests of hone-benchmark: all models in turns, test by test, each sample with a reading
// of the memory beside it.
#pragma once

#include <map>
#include <vector>

#include "kernels/probe.h"
#include "libcommon/bench/report.h"
#include "libcommon/ranks/communicator.h"
#include "libcommon/run/benchmark_report.h"
#include "libcommon/run/speed.h"

namespace hone {

using Peaks = std::map<int, MachinePeaks>;  // by number of threads; 0: of the GPU

// Of a split model both.
bool uses_cpu(const BenchmarkSubject& subject);
bool uses_gpu(const BenchmarkSubject& subject);

// Refuses tests of more positions than a subject's context has.
void check_fit(const std::vector<BenchmarkSubject>& subjects, const std::vector<SpeedTest>& tests);

struct SpeedResults {
  std::vector<Json> rows;   // speed_row of each test and subject
  int64_t probe_bytes = 0;  // memory that the readings took meanwhile
};
// Says with -v in which ops the time went. ranks: null, or the processes that measure together;
// what is done next depends on the time, so that all go by the first one's.
SpeedResults measure_speed(std::vector<BenchmarkSubject>& subjects,
                           const std::vector<SpeedTest>& tests, const Peaks& peaks, int repetitions,
                           Communicator* ranks);

}  // namespace hone
