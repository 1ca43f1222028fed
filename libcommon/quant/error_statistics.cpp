#include "libcommon/quant/error_statistics.h"

#include <cmath>
#include <limits>

namespace hone {

namespace {

constexpr size_t kParts = 16;  // partial sums, as in convert.h

double in_order(const double (&parts)[kParts]) {
  double sum = 0;
  for (double part : parts) sum += part;
  return sum;
}

}  // namespace

void ErrorStatistics::add_row(int64_t row, std::span<const float> before,
                              std::span<const float> after) {
  double squares[kParts] = {};
  double errors[kParts] = {};
  for (size_t c = 0; c < before.size(); ++c) {
    if (!std::isfinite(before[c])) {
      ++not_finite;
      continue;
    }
    const double weight = before[c];
    const double error = std::fabs(after[c] - before[c]);
    squares[c % kParts] += weight * weight;
    errors[c % kParts] += error * error;
    if (error > worst_error) {
      worst_error = error;
      worst_row = row;
      worst_column = static_cast<int64_t>(c);
      worst_before = before[c];
      worst_after = after[c];
    }
  }
  square_sum += in_order(squares);
  square_error += in_order(errors);
  elements += static_cast<int64_t>(before.size());
}

ErrorStatistics ErrorStatistics::of_row(int64_t row, int64_t columns, const RowError& error) {
  ErrorStatistics result;
  if (columns == 0) return result;
  result.elements = columns;
  result.square_error = error.square_error;
  result.square_sum = error.square_sum;
  result.worst_error = error.worst;
  result.worst_row = row;
  result.worst_column = kUnknownColumn;
  return result;
}

void ErrorStatistics::set_worst(const ErrorStatistics& row) {
  worst_column = row.worst_column;
  worst_before = row.worst_before;
  worst_after = row.worst_after;
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
