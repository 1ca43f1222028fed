// From weights that share a scale to that scale, and from weights to numbers of few bits.
//
// Formulas are those of compressed-tensors, so that equal weights give equal files:
//   int b bits, symmetric   scale = max|w| / ((2^b - 1) / 2)              q = round(clamp(w /
//   scale)) int b bits, asymmetric  scale = (max - min) / (2^b - 1), min <= 0 <= max
//                           zero = round(clamp(-2^(b-1) - min / scale))   q = round(clamp(w / scale
//                           + zero))
//   fp8                     scale = max|w| / 448                          q = e4m3(clamp(w /
//   scale))
// clamp is to [-2^(b-1), 2^(b-1) - 1]; rounding is to nearest, ties to even. Weights are quantized
// with the scale as it is stored (rounded to BF16 or F16); a scale that rounds to 0 becomes the
// type's epsilon.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/convert.h"
#include "libcommon/quant/scheme.h"

namespace hone {

// Scale and zero point, as stored.
struct Grid {
  float scale = 1;
  int zero = 0;
};

// Candidates of RangeKind::kMse: the range times 1.00, 0.98, ... 0.20.
inline constexpr int kShrinkSteps = 41;
inline constexpr double shrink_factor(int step) { return 1.0 - 0.02 * step; }

struct WeightRange {
  float low = 0;   // <= 0
  float high = 0;  // >= 0
};

// The grid for weights in [low, high]; symmetric schemes use max(-low, high).
Grid grid_for(const WeightRange& range, const Scheme& scheme, DType scale_type);
// The same by the scheme's range rule, where that needs no more than the range.
bool needs_only_range(const Scheme& scheme);
Grid grid_of_range(WeightRange range, const Scheme& scheme, DType scale_type);
// The grid that the scheme's range rule chooses for weights that share a scale. Elements that are
// not finite do not count.
Grid find_grid(std::span<const float> weights, const Scheme& scheme, DType scale_type);

// Lowest and highest finite weight, and 0.
WeightRange weight_range(std::span<const float> weights);

// Integers: codes are signed. Fp8: codes are the bits of the floats. NaN becomes 0 (int).
void quantize(std::span<const float> weights, const Grid& grid, const Scheme& scheme,
              int8_t* codes);
void dequantize(std::span<const int8_t> codes, const Grid& grid, const Scheme& scheme, float* out);

// Rows of groups, finite, with their grids, at memory speed: the codes that quantize() gives, and
// the errors.
RowError quantize_rows(const GroupRow& row, const Scheme& scheme, int8_t* codes);

// Sum of squared differences between weights and what the grid makes of them.
double square_error(std::span<const float> weights, const Grid& grid, const Scheme& scheme);

}  // namespace hone
