// Weights that are no numbers: found before they spoil a scale.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace hone {

// Column of the first NaN or infinity, -1 where all are finite.
int64_t first_not_finite(std::span<const float> row);

// Error: "MODEL: tensor 'x': element [r, c] is nan; ...". Names tensor and element.
[[noreturn]] void refuse_not_finite(const std::string& subject, const std::string& tensor,
                                    int64_t row, int64_t column, float value);

}  // namespace hone
