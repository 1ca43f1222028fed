#include "libcommon/quant/error_statistics.h"

#include <cmath>
#include <limits>

namespace hone {

void ErrorStatistics::add_row(int64_t row, std::span<const float> before,
                              std::span<const float> after) {
  for (size_t c = 0; c < before.size(); ++c) {
    if (!std::isfinite(before[c])) {
      ++not_finite;
      continue;
    }
    const double weight = before[c];
    const double error = std::fabs(static_cast<double>(after[c]) - weight);
    square_sum += weight * weight;
    square_error += error * error;
    if (error > worst_error) {
      worst_error = error;
      worst_row = row;
      worst_column = static_cast<int64_t>(c);
      worst_before = before[c];
      worst_after = after[c];
    }
  }
  elements += static_cast<int64_t>(before.size());
}

void ErrorStatistics::add(const ErrorStatistics& later) {
  elements += later.elements;
  not_finite += later.not_finite;
  square_error += later.square_error;
  square_sum += later.square_sum;
  if (later.worst_error > worst_error) {
    worst_error = later.worst_error;
    worst_row = later.worst_row;
    worst_column = later.worst_column;
    worst_before = later.worst_before;
    worst_after = later.worst_after;
  }
}

double ErrorStatistics::mean_square_error() const {
  return elements == 0 ? 0 : square_error / static_cast<double>(elements);
}

double ErrorStatistics::snr_db() const {
  if (square_error == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(square_sum / square_error);
}

}  // namespace hone
