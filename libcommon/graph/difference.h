// How far two results of the same computation lie apart.
#pragma once

#include <span>

namespace hone {

struct Difference {
  double absolute = 0;  // largest |a - b|
  double relative = 0;  // the same over the largest |b|: what tolerances bound
  double ulp = 0;       // most float values between a and b, of elements whose |b| is at least one
                        // per cent of the largest: below, cancellation makes the count meaningless
};

// A NaN, or an infinity that only one side has, makes all three infinite.
Difference compare(std::span<const float> a, std::span<const float> b);

// The larger of each.
Difference worst(const Difference& a, const Difference& b);

}  // namespace hone
