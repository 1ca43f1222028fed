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

// 1/divisor = (1 - s)/factor + s, where s is 1 for short wavelengths, 0 for long ones, and between
// them a line in 1/wavelength: (original/wavelength - low)/(high - low).
struct Point {
  double x = 0;  // 1/wavelength
  double s = 0;
};

std::vector<Point> points_of(std::span<const float> divisors, const RopeSpec& rope) {
  const std::vector<double> frequencies = rope_frequencies(without_scaling(rope), 1, 1);
  std::vector<Point> points;
  for (size_t i = 0; i < divisors.size(); ++i) {
    const double inverse = 1 / static_cast<double>(divisors[i]);
    const double s = (inverse - 1 / rope.factor) / (1 - 1 / rope.factor);
    points.push_back({frequencies[i] / (2 * std::numbers::pi), s});
  }
  return points;
}

double slope_between(const Point& a, const Point& b) { return (a.s - b.s) / (a.x - b.x); }

// The line of the points between the ends, as its slope where it meets s. One point leaves it free
// to turn until it touches a neighbour, none until it touches both. The factor is the largest
// divisor, so that an s of 0 is always there.
std::pair<double, Point> line_of(const std::vector<Point>& points) {
  const auto begin = std::ranges::find_if(points, [](const Point& p) { return p.s < 1; });
  const auto end = std::find_if(begin, points.end(), [](const Point& p) { return p.s <= 0; });
  const Point above = begin == points.begin() ? Point{2 * begin->x, 1} : *(begin - 1);
  if (end - begin >= 2) return {slope_between(*begin, *(end - 1)), *begin};
  if (begin == end) return {slope_between(above, *end), *end};
  const double steepest = std::max(slope_between(above, *begin), slope_between(*begin, *end));
  return {steepest, *begin};
}

// The line tells original : low : high, no more; low is 1 where that makes the others whole.
std::optional<RopeSpec> fit(std::span<const float> divisors, const RopeSpec& start) {
  const auto [slope, point] = line_of(points_of(divisors, start));
  const double offset = point.s - slope * point.x;
  const double original = -slope / offset;  // over low
  const double high = 1 - 1 / offset;       // over low
  if (!(slope > 0 && offset < 0 && original < 1e12)) return std::nullopt;
  RopeSpec rope = start;
  rope.original_context = std::max<int64_t>(std::llround(original), 1);
  rope.low_freq_factor = 1;
  rope.high_freq_factor = std::abs(high - std::round(high)) < 1e-3 ? std::round(high) : high;
  if (reproduces(rope, divisors)) return rope;
  rope.low_freq_factor = static_cast<double>(rope.original_context) / original;
  rope.high_freq_factor = rope.low_freq_factor * high;
  if (reproduces(rope, divisors)) return rope;
  return std::nullopt;
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
  return fit(divisors, rope);
}

}  // namespace hone
