// What quantization did to a tensor, in numbers: for the report.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/convert.h"

namespace hone {

struct ErrorStatistics {
  int64_t elements = 0;
  int64_t not_finite = 0;  // with --allow-nan; they count in no sum
  // Sums in row order, within a row as convert.h says: the same for any thread count. An error is
  // after - before, rounded to f32.
  double square_error = 0;
  double square_sum = 0;
  double worst_error = -1;
  int64_t worst_row = 0;     // of the matrix as written, [out, in]
  int64_t worst_column = 0;  // kUnknownColumn: in the row, but not looked for yet
  float worst_before = 0;
  float worst_after = 0;

  static constexpr int64_t kUnknownColumn = -1;

  void add_row(int64_t row, std::span<const float> before, std::span<const float> after);
  // The same for a row that was compared while it was converted, finite throughout.
  static ErrorStatistics of_row(int64_t row, int64_t columns, const RowError& error);
  bool worst_is_known() const { return worst_column != kUnknownColumn; }
  // Of worst_row alone, by add_row.
  void set_worst(const ErrorStatistics& row);
  void add(const ErrorStatistics& later);
  double mean_square_error() const;
  double snr_db() const;  // 10 log10(sum w^2 / sum error^2); infinite without error
};

}  // namespace hone
