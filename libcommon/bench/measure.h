// Timing a piece of work: warm-up until the times stop falling, then samples. Several bodies are
// measured interleaved (A B C A B C ...), so that a drifting machine touches all of them alike.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace hone {

double seconds_now();  // monotonic

struct MeasureOptions {
  int repetitions = 7;      // samples kept
  int max_warmups = 20;     // runs before them, at most
  double max_seconds = 60;  // per body; at least three samples are taken all the same
  double tolerance = 0.05;  // of the warm-up's stationarity
};

struct Samples {
  std::vector<double> seconds;
  bool stationary = true;  // false: the warm-up ran out before the times settled
};

// bodies[i] runs once per sample; its own return value is the seconds that count (so that it may
// leave its preparation out).
std::vector<Samples> measure_interleaved(const std::vector<std::function<double()>>& bodies,
                                         const MeasureOptions& options);

}  // namespace hone
