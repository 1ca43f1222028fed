#include "libcommon/model/gguf_rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/check.h"

namespace hone {
namespace {

constexpr double kTolerance = 2e-6;  // relative; a float has 6e-8, its makers computed in float

RopeSpec without_scaling(RopeSpec rope) {
  rope.scaling = RopeScaling::kNone;
  rope.factor = 1;
  return rope;
}

bool reproduces(const RopeSpec& rope, std::span<const float> divisors) {
  const std::vector<float> made = rope_divisors(rope);
  for (size_t i = 0; i < divisors.size(); ++i) {
    const double off = std::abs(static_cast<double>(made[i]) - static_cast<double>(divisors[i]));
    if (!(off <= kTolerance * static_cast<double>(divisors[i]))) return false;
  }
  return true;
}

// Between the ends, 1/divisor = (1 - s)/factor + s with s = (original/wavelength - low)/(high -
// low): s is a line in 1/wavelength. Two points give it, and with low = 1 the numbers themselves.
std::optional<RopeSpec> fit(std::span<const float> divisors, const RopeSpec& start) {
  const std::vector<double> frequencies = rope_frequencies(without_scaling(start), 1, 1);
  std::vector<std::pair<double, double>> points;  // 1/wavelength, s
  for (size_t i = 0; i < divisors.size(); ++i) {
    const double divisor = static_cast<double>(divisors[i]);
    if (divisor <= 1 || divisor >= start.factor) continue;
    const double s = (1 / divisor - 1 / start.factor) / (1 - 1 / start.factor);
    points.push_back({frequencies[i] / (2 * std::numbers::pi), s});
  }
  if (points.size() < 2 || points.front().first == points.back().first) return std::nullopt;
  const double slope =
      (points.front().second - points.back().second) / (points.front().first - points.back().first);
  const double offset = points.front().second - slope * points.front().first;
  if (!(slope > 0 && offset < 0)) return std::nullopt;
  RopeSpec rope = start;
  rope.low_freq_factor = 1;
  const double high = 1 - 1 / offset;
  rope.high_freq_factor = std::abs(high - std::round(high)) < 1e-3 ? std::round(high) : high;
  const double original = slope * (rope.high_freq_factor - 1);
  if (!(original >= 1 && original < 1e12)) return std::nullopt;
  rope.original_context = static_cast<int64_t>(std::llround(original));
  return rope;
}

}  // namespace

std::vector<float> rope_divisors(const RopeSpec& rope) {
  CHECK(rope.scaling == RopeScaling::kLlama3);
  const std::vector<double> scaled = rope_frequencies(rope, 1, 1);
  const std::vector<double> plain = rope_frequencies(without_scaling(rope), 1, 1);
  std::vector<float> divisors;
  for (size_t i = 0; i < plain.size(); ++i) {
    divisors.push_back(static_cast<float>(plain[i] / scaled[i]));
  }
  return divisors;
}

std::optional<RopeSpec> rope_from_divisors(std::span<const float> divisors, const RopeSpec& plain) {
  if (static_cast<int64_t>(divisors.size()) != plain.rotary / 2 || divisors.empty()) {
    return std::nullopt;
  }
  for (float divisor : divisors) {
    if (!(divisor >= 1 && divisor < 1e6f)) return std::nullopt;
  }
  RopeSpec rope = plain;
  rope.factor = static_cast<double>(*std::max_element(divisors.begin(), divisors.end()));
  if (rope.factor == 1) return without_scaling(plain);
  rope.scaling = RopeScaling::kLlama3;
  rope.low_freq_factor = 1;
  rope.high_freq_factor = 4;
  for (int64_t original = 8192; original >= 16; original /= 2) {  // Llama 3's own first
    rope.original_context = original;
    if (reproduces(rope, divisors)) return rope;
  }
  const auto fitted = fit(divisors, rope);
  return fitted && reproduces(*fitted, divisors) ? fitted : std::nullopt;
}

}  // namespace hone
