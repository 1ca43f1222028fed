#include "libcommon/run/sparse_report.h"

#include <cstdio>

namespace hone {

Json sparse_json(const SparseProducts& products) {
  return {{"matrices", products.matrices},
          {"two_of_four", products.two_of_four},
          {"bitmask", products.bitmask},
          {"share_of_weights", products.share}};
}

std::string sparse_text(const Json& sparse) {
  const auto two_of_four = sparse["two_of_four"].get<int>();
  const auto bitmask = sparse["bitmask"].get<int>();
  if (two_of_four + bitmask == 0) return "";
  char text[128];
  std::snprintf(text, sizeof text,
                ", %d of %d matrices sparse (%d as 2:4, %d by bitmask; %.1f %% of the weights)",
                two_of_four + bitmask, sparse["matrices"].get<int>(), two_of_four, bitmask,
                100 * sparse["share_of_weights"].get<double>());
  return text;
}

}  // namespace hone
