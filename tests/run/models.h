// Models that the tests of graph/ and run/ share.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "libcommon/io/json.h"
#include "libcommon/model/model_io.h"
#include "libcommon/model/weights.h"
#include "libcommon/run/session.h"
#include "tests/support/doctest.h"

namespace hone::test {

inline std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  REQUIRE_MESSAGE(file.good(), path);
  return text.str();
}

inline Json read_json(const std::string& path) { return parse_json(read_text(path), path); }

inline std::shared_ptr<const LoadedModel> load(const std::string& path) {
  return load_model(open_model(path), {});
}

inline std::string testdata(const std::string& name) { return HONE_TESTDATA "/" + name; }

// Names of all tiny models: a new one is tested as soon as it is there.
inline std::vector<std::string> tiny_models() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(HONE_TESTDATA)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("tiny-")) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  REQUIRE(names.size() >= 6);
  return names;
}

// $HONE_SHARED/PATH; nullopt, with a message, where the variable is not set.
inline std::optional<std::string> shared(const std::string& path) {
  const char* root = std::getenv("HONE_SHARED");
  if (!root) {
    MESSAGE("skipped: HONE_SHARED is not set");
    return std::nullopt;
  }
  return std::string(root) + "/" + path;
}

// Tokens of one sequence from `position` on; all of them want logits.
inline std::vector<StepToken> steps(const std::vector<int32_t>& ids, int32_t sequence = 0,
                                    int32_t position = 0) {
  std::vector<StepToken> tokens;
  for (int32_t id : ids) {
    tokens.push_back(
        {.id = id, .sequence = sequence, .position = position++, .wants_logits = true});
  }
  return tokens;
}

inline std::vector<float> copy(std::span<const float> values) {
  return {values.begin(), values.end()};
}

// Largest difference over largest magnitude of `expected`. A NaN anywhere makes it infinite.
inline double relative_error(std::span<const float> got, std::span<const float> expected) {
  REQUIRE(got.size() == expected.size());
  double largest = 0;
  double difference = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    if (!std::isfinite(got[i]) || !std::isfinite(expected[i])) return INFINITY;
    largest = std::max(largest, std::fabs(static_cast<double>(expected[i])));
    difference = std::max(difference, std::fabs(static_cast<double>(got[i]) - expected[i]));
  }
  return difference / largest;
}

// ---- Named tolerances, of logits: relative_error() at most this.
// The expected values carry 7 digits and transformers' own float32 norms, softmax and angles.
inline constexpr double kReferenceLogits = 1e-5;
// f32 sums of vector kernels through all layers.
inline constexpr double kCpuLogits = 1e-5;

}  // namespace hone::test
