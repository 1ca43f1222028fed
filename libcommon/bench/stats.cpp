#include "libcommon/bench/stats.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/check.h"
#include "libcommon/base/rng.h"

namespace hone {
namespace {

constexpr int kResamples = 2000;
constexpr uint64_t kSeed = 1;

// One bootstrap median; the draws of resample r are the stream r.
double resampled_median(std::span<const double> samples, uint64_t resample) {
  std::vector<double> drawn(samples.size());
  for (size_t i = 0; i < drawn.size(); ++i) {
    const double u = random_uniform(kSeed, resample, i);
    drawn[i] = samples[static_cast<size_t>(u * static_cast<double>(samples.size()))];
  }
  return median(std::move(drawn));
}

}  // namespace

double median(std::vector<double> samples) {
  if (samples.empty()) return std::numeric_limits<double>::quiet_NaN();
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  if (samples.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(samples.begin(), middle)) / 2;
}

Summary summarize(std::span<const double> samples) {
  CHECK(!samples.empty());
  std::vector<double> medians(kResamples);
  for (int r = 0; r < kResamples; ++r) {
    medians[static_cast<size_t>(r)] = resampled_median(samples, static_cast<uint64_t>(r));
  }
  std::sort(medians.begin(), medians.end());
  const auto [smallest, largest] = std::minmax_element(samples.begin(), samples.end());
  return {.median = median({samples.begin(), samples.end()}),
          .low = medians[kResamples * 25 / 1000],
          .high = medians[kResamples * 975 / 1000],
          .min = *smallest,
          .max = *largest,
          .count = static_cast<int64_t>(samples.size())};
}

bool is_stationary(std::span<const double> samples, size_t window, double tolerance) {
  if (samples.size() < 2 * window) return false;
  const auto recent = samples.last(window);
  const auto before = samples.last(2 * window).first(window);
  const double now = median({recent.begin(), recent.end()});
  const double then = median({before.begin(), before.end()});
  return std::abs(now - then) <= tolerance * then;
}

}  // namespace hone
