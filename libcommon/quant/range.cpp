#include "libcommon/quant/range.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/check.h"
#include "kernels/codec/codec.h"
#include "kernels/convert.h"

namespace hone {
namespace {

constexpr float kLargestFloat8 = 448;

// Nearest integer, ties to even, for |x| < 2^22: adding 1.5 * 2^23 leaves no bits for a fraction.
// One addition that vectorises, where nearbyint is a call.
inline float round_even(float x) {
  constexpr float kMagic = 12582912.0f;
  return (x + kMagic) - kMagic;
}

float low_code(const Scheme& scheme) { return -static_cast<float>(1 << (scheme.bits - 1)); }
float high_code(const Scheme& scheme) { return static_cast<float>((1 << (scheme.bits - 1)) - 1); }

// The scale as the file will hold it.
float stored_scale(float scale, DType type) {
  switch (type) {
    case DType::kBF16:
      scale = bf16_to_f32(f32_to_bf16(scale));
      return scale == 0 ? 0x1p-7f : scale;
    case DType::kF16:
      scale = f16_to_f32(f32_to_f16(scale));
      return scale == 0 ? 0x1p-10f : scale;
    default:
      CHECK(type == DType::kF32);
      return scale == 0 ? 0x1p-23f : scale;
  }
}

WeightRange percentile_range(std::span<const float> weights, const Scheme& scheme) {
  std::vector<float> values;
  for (float w : weights) {
    if (std::isfinite(w)) values.push_back(scheme.symmetric ? std::fabs(w) : w);
  }
  if (values.empty()) return {};
  // The k-th smallest of n, k = ceil(p n): the smallest value with at least p of all at or below
  // it.
  const auto kth = [&](int64_t k) {
    const auto at = values.begin() + k - 1;
    std::nth_element(values.begin(), at, values.end());
    return *at;
  };
  const auto n = static_cast<int64_t>(values.size());
  const auto inside =
      static_cast<int64_t>(std::ceil(scheme.percentile / 100 * static_cast<double>(n)));
  const int64_t k = std::clamp<int64_t>(inside, 1, n);
  const float high = std::max(kth(k), 0.0f);
  if (scheme.symmetric) return {-high, high};
  return {std::min(kth(n - k + 1), 0.0f), high};  // the mirror image
}

Grid best_grid(std::span<const float> weights, const WeightRange& range, const Scheme& scheme,
               DType scale_type) {
  Grid best;
  double least = std::numeric_limits<double>::infinity();
  for (int step = 0; step < kShrinkSteps; ++step) {
    const auto factor = static_cast<float>(shrink_factor(step));
    const Grid grid = grid_for({range.low * factor, range.high * factor}, scheme, scale_type);
    const double error = square_error(weights, grid, scheme);
    if (error < least || step == 0) {
      least = error;
      best = grid;
    }
  }
  return best;
}

// Values of codes, `count` at a time, kept in cache.
constexpr size_t kBlock = 256;

}  // namespace

Grid grid_for(const WeightRange& range, const Scheme& scheme, DType scale_type) {
  const float largest = std::max(-range.low, range.high);
  if (scheme.kind == SchemeKind::kFloat8) {
    return {stored_scale(largest / kLargestFloat8, scale_type), 0};
  }
  const auto steps = static_cast<float>((1 << scheme.bits) - 1);
  if (scheme.symmetric) return {stored_scale(largest / (steps / 2), scale_type), 0};
  Grid grid;
  grid.scale = stored_scale((range.high - range.low) / steps, scale_type);
  const float zero =
      std::clamp(low_code(scheme) - range.low / grid.scale, low_code(scheme), high_code(scheme));
  grid.zero = static_cast<int>(round_even(zero));
  return grid;
}

WeightRange weight_range(std::span<const float> weights) {
  WeightRange range;
  for (float w : weights) {
    if (!std::isfinite(w)) continue;
    range.low = std::min(range.low, w);
    range.high = std::max(range.high, w);
  }
  return range;
}

Grid find_grid(std::span<const float> weights, const Scheme& scheme, DType scale_type) {
  if (scheme.range == RangeKind::kPercentile) {
    return grid_for(percentile_range(weights, scheme), scheme, scale_type);
  }
  const WeightRange range = weight_range(weights);
  if (scheme.range == RangeKind::kMse) return best_grid(weights, range, scheme, scale_type);
  return grid_of_range(range, scheme, scale_type);
}

bool needs_only_range(const Scheme& scheme) {
  return scheme.range != RangeKind::kPercentile && scheme.range != RangeKind::kMse;
}

Grid grid_of_range(WeightRange range, const Scheme& scheme, DType scale_type) {
  if (scheme.range == RangeKind::kAbsMax) {
    const float largest = std::max(-range.low, range.high);
    range = {-largest, largest};
  }
  return grid_for(range, scheme, scale_type);
}

void quantize(std::span<const float> weights, const Grid& grid, const Scheme& scheme,
              int8_t* codes) {
  if (scheme.kind == SchemeKind::kFloat8) {
    std::array<float, kBlock> scaled;
    for (size_t first = 0; first < weights.size(); first += kBlock) {
      const size_t count = std::min(kBlock, weights.size() - first);
      for (size_t i = 0; i < count; ++i) {
        scaled[i] = std::clamp(weights[first + i] / grid.scale, -kLargestFloat8, kLargestFloat8);
      }
      encode_row(DType::kF8E4M3, scaled.data(), static_cast<int64_t>(count),
                 reinterpret_cast<std::byte*>(codes + first));
    }
    return;
  }
  const float low = low_code(scheme);
  const float high = high_code(scheme);
  const auto zero = static_cast<float>(grid.zero);
  for (size_t i = 0; i < weights.size(); ++i) {
    float x = weights[i] == weights[i] ? weights[i] / grid.scale + zero : zero;
    x = x < low ? low : x;
    x = x > high ? high : x;
    codes[i] = static_cast<int8_t>(static_cast<int>(round_even(x)));
  }
}

void dequantize(std::span<const int8_t> codes, const Grid& grid, const Scheme& scheme, float* out) {
  if (scheme.kind == SchemeKind::kFloat8) {
    decode_row(DType::kF8E4M3, reinterpret_cast<const std::byte*>(codes.data()),
               static_cast<int64_t>(codes.size()), out);
    for (size_t i = 0; i < codes.size(); ++i) out[i] *= grid.scale;
    return;
  }
  for (size_t i = 0; i < codes.size(); ++i) {
    out[i] = static_cast<float>(codes[i] - grid.zero) * grid.scale;
  }
}

RowError quantize_rows(const GroupRow& row, const Scheme& scheme, int8_t* codes) {
  if (scheme.kind == SchemeKind::kFloat8) return round_row_f8(row, codes);
  return round_row(row, scheme.bits, codes);
}

double square_error(std::span<const float> weights, const Grid& grid, const Scheme& scheme) {
  std::array<int8_t, kBlock> codes;
  std::array<float, kBlock> values;
  const auto zero = static_cast<int8_t>(grid.zero);
  double sum = 0;
  for (size_t first = 0; first < weights.size(); first += kBlock) {
    const auto part = weights.subspan(first, std::min(kBlock, weights.size() - first));
    const auto count = static_cast<int64_t>(part.size());
    const GroupRow row{part.data(), count, count, &grid.scale, &zero};
    const double error = quantize_rows(row, scheme, codes.data()).square_error;
    if (std::isfinite(error)) {
      sum += error;
      continue;
    }
    quantize(part, grid, scheme, codes.data());
    dequantize({codes.data(), part.size()}, grid, scheme, values.data());
    for (size_t i = 0; i < part.size(); ++i) {
      const float difference = std::isfinite(part[i]) ? part[i] - values[i] : 0.0f;
      sum += static_cast<double>(difference) * difference;
    }
  }
  return sum;
}

}  // namespace hone
