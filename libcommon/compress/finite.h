// Weights that are no numbers, however they are stored: found before they spoil a scale or a score.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace hone {

// Column of the first NaN or infinity, -1 where all are finite.
int64_t first_not_finite(std::span<const float> row);

// Error where a row has one, "MODEL: tensor 'x': element [r, c] is nan; ..."; ends with `advice`.
void check_finite(const std::string& subject, const std::string& tensor, int64_t row,
                  std::span<const float> weights, const std::string& advice = "");

}  // namespace hone
