// Robust statistics of timings. Medians, because one interrupt must not move the figure; bootstrap
// intervals, because timings are not normal (Efron, "Bootstrap methods", 1979: resample with
// replacement, take the statistic's percentiles).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hone {

double median(std::vector<double> samples);  // NaN when empty

struct Summary {
  double median = 0;
  double low = 0;  // 95 % bootstrap interval of the median
  double high = 0;
  double min = 0;
  double max = 0;
  int64_t count = 0;
};
// Deterministic: the resampling draws come from a fixed seed. samples must not be empty.
Summary summarize(std::span<const double> samples);

// The last `window` samples look like the `window` before them: medians within `tolerance`.
bool is_stationary(std::span<const double> samples, size_t window, double tolerance);

}  // namespace hone
