#include "libcommon/prune/score.h"

#include <cmath>

#include "libcommon/base/error.h"

namespace hone {
namespace {

// |w|: Han et al., "Learning both weights and connections", NeurIPS 2015.
void magnitude(const float* weights, int64_t count, float* scores) {
  for (int64_t i = 0; i < count; ++i) scores[i] = std::fabs(weights[i]);
}

constexpr ScoreMethod kScores[] = {
    {"magnitude", "size of the weight; needs no data", magnitude, true},
};

}  // namespace

const ScoreMethod& score_method(const std::string& name) {
  for (const ScoreMethod& method : kScores) {
    if (method.name == name) return method;
  }
  std::string known;
  for (const ScoreMethod& method : kScores) known += " " + std::string(method.name);
  throw usage_error("--score '" + name + "' is not known; known:" + known);
}

std::vector<std::string> score_names() {
  std::vector<std::string> names;
  for (const ScoreMethod& method : kScores) names.emplace_back(method.name);
  return names;
}

}  // namespace hone
