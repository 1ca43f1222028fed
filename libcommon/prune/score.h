// How much a weight matters: one row per method. Scores are not negative; the smallest go first.
// What is done with the scores (masks, structures) is another choice, made elsewhere.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hone {

struct ScoreMethod {
  std::string_view name;
  std::string_view help;
  // One row of weights -> one score each.
  void (*score)(const float* weights, int64_t count, float* scores);
  bool is_magnitude = false;  // the score is |w|: masks may look at the bits of stored floats
};

// Error(kUsage) listing the known names.
const ScoreMethod& score_method(const std::string& name);
std::vector<std::string> score_names();

}  // namespace hone
