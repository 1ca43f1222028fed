#include "libcommon/bench/measure.h"

#include <chrono>

#include "libcommon/bench/stats.h"

namespace hone {
namespace {

constexpr size_t kWindow = 2;  // warm-up: two runs against the two before
constexpr size_t kMinSamples = 3;

Samples warm_up(const std::function<double()>& body, const MeasureOptions& options) {
  std::vector<double> times;
  double spent = 0;
  while (static_cast<int>(times.size()) < options.max_warmups) {
    times.push_back(body());
    spent += times.back();
    if (is_stationary(times, kWindow, options.tolerance))
      return {.seconds = {}, .stationary = true};
    if (spent > options.max_seconds / 2) break;
  }
  return {.seconds = {}, .stationary = false};
}

bool wants_more(const Samples& samples, double spent, const MeasureOptions& options) {
  const size_t count = samples.seconds.size();
  if (count >= static_cast<size_t>(options.repetitions)) return false;
  return count < kMinSamples || spent < options.max_seconds;
}

}  // namespace

double seconds_now() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

std::vector<Samples> measure_interleaved(const std::vector<std::function<double()>>& bodies,
                                         const MeasureOptions& options) {
  std::vector<Samples> all;
  for (const auto& body : bodies) all.push_back(warm_up(body, options));
  std::vector<double> spent(bodies.size(), 0.0);
  bool more = true;
  while (more) {
    more = false;
    for (size_t i = 0; i < bodies.size(); ++i) {
      if (!wants_more(all[i], spent[i], options)) continue;
      all[i].seconds.push_back(bodies[i]());
      spent[i] += all[i].seconds.back();
      more = true;
    }
  }
  return all;
}

}  // namespace hone
