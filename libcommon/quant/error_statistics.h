// What quantization did to a tensor, in numbers: for the report.
#pragma once

#include <cstdint>
#include <span>

namespace hone {

struct ErrorStatistics {
  int64_t elements = 0;
  int64_t not_finite = 0;   // with --allow-nan; they count in no sum
  double square_error = 0;  // sums in row order: the same for any thread count
  double square_sum = 0;
  double worst_error = -1;
  int64_t worst_row = 0;  // of the matrix as written, [out, in]
  int64_t worst_column = 0;
  float worst_before = 0;
  float worst_after = 0;

  void add_row(int64_t row, std::span<const float> before, std::span<const float> after);
  void add(const ErrorStatistics& later);
  double mean_square_error() const;
  double snr_db() const;  // 10 log10(sum w^2 / sum error^2); infinite without error
};

}  // namespace hone
