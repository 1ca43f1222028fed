#include "libcommon/compress/finite.h"

#include <bit>
#include <cmath>

#include "libcommon/base/error.h"

namespace hone {

int64_t first_not_finite(std::span<const float> row) {
  constexpr uint32_t kExponent = 0x7f800000;
  bool any = false;  // no branch, so that the usual case is one vector loop
  for (float value : row) any |= (std::bit_cast<uint32_t>(value) & kExponent) == kExponent;
  if (!any) return -1;
  int64_t column = 0;
  while (std::isfinite(row[static_cast<size_t>(column)])) ++column;
  return column;
}

void check_finite(const std::string& subject, const std::string& tensor, int64_t row,
                  std::span<const float> weights, const std::string& advice) {
  const int64_t column = first_not_finite(weights);
  if (column < 0) return;
  const float value = weights[static_cast<size_t>(column)];
  const std::string text = std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
  throw Error(subject + ": tensor '" + tensor + "': element [" + std::to_string(row) + ", " +
              std::to_string(column) + "] is " + text + "; broken training checkpoint?" + advice);
}

}  // namespace hone
