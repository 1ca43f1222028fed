#include "libcommon/model/rope.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "kernels/check.h"
#include "libcommon/base/error.h"

namespace hone {
namespace {

struct ScalingRow {
  std::string_view name;
  RopeScaling scaling;
  std::string_view required;  // keys, separated by spaces
  std::string_view optional;
};

// Keys beside rope_type, type, rope_theta, partial_rotary_factor.
constexpr auto kScalings = std::to_array<ScalingRow>({
    {"default", RopeScaling::kNone, "", ""},
    {"linear", RopeScaling::kLinear, "factor", ""},
    {"dynamic", RopeScaling::kDynamic, "factor", "original_max_position_embeddings"},
    {"llama3", RopeScaling::kLlama3, "factor low_freq_factor high_freq_factor",
     "original_max_position_embeddings"},
    {"yarn", RopeScaling::kYarn, "",
     "factor original_max_position_embeddings attention_factor beta_fast beta_slow mscale "
     "mscale_all_dim truncate finetuned"},
});

bool listed(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    const size_t end = std::min(words.find(' '), words.size());
    if (words.substr(0, end) == word) return true;
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return false;
}

// rope_scaling beats rope_parameters, as in transformers; an empty object where there is neither.
struct RopeSource {
  Json values = Json::object();
  std::string subject;  // "config.json: rope_scaling"
};

RopeSource rope_source(const Json& config, const std::string& subject) {
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const auto found = config.find(key);
    if (found == config.end() || found->is_null()) continue;
    if (!found->is_object()) throw Error(subject + ": " + key + " is not an object");
    if (!found->empty()) return {*found, subject + ": " + key};
  }
  return {Json::object(), subject};
}

double number_or(const Json& values, const std::string& key, double fallback,
                 const std::string& subject) {
  const auto found = values.find(key);
  if (found == values.end() || found->is_null()) return fallback;
  if (!found->is_number() || !(std::abs(found->get<double>()) < 1e15)) {
    throw Error(subject + ": '" + key + "' is " + found->dump().substr(0, 80) +
                ", must be a number");
  }
  return found->get<double>();
}

double positive_or(const Json& values, const std::string& key, double fallback,
                   const std::string& subject) {
  const double value = number_or(values, key, fallback, subject);
  if (value > 0) return value;
  throw Error(subject + ": '" + key + "' must be positive");
}

const ScalingRow& scaling_row(const RopeSource& source) {
  std::string type = "default";
  for (const char* key : {"type", "rope_type"}) {  // the newer spelling counts
    const auto found = source.values.find(key);
    if (found == source.values.end() || found->is_null()) continue;
    type = require_string(source.values, key, source.subject);
  }
  for (const ScalingRow& row : kScalings) {
    if (row.name == type) return row;
  }
  throw Error(source.subject + ": rope_type '" + type +
              "' is not implemented; known: default, linear, dynamic, llama3, yarn");
}

void check_keys(const RopeSource& source, const ScalingRow& row) {
  constexpr std::string_view kAlways = "rope_type type rope_theta partial_rotary_factor";
  for (const auto& [key, value] : source.values.items()) {
    if (listed(kAlways, key) || listed(row.required, key) || listed(row.optional, key)) continue;
    if (value.is_null()) continue;
    throw Error(source.subject + ": '" + key + "' is not implemented for rope_type '" +
                std::string(row.name) + "'");
  }
  for (const std::string key : {"factor", "low_freq_factor", "high_freq_factor"}) {
    const bool missing = !source.values.contains(key) || source.values.at(key).is_null();
    if (listed(row.required, key) && missing) {
      throw Error(source.subject + ": '" + key + "' is missing");
    }
  }
  const double partial = number_or(source.values, "partial_rotary_factor", 1.0, source.subject);
  if (partial != 1.0) {
    throw Error(source.subject + ": partial_rotary_factor " + std::to_string(partial) +
                " is not implemented; known: 1");
  }
}

double yarn_mscale(double scale, double mscale) {
  return scale <= 1 ? 1.0 : 0.1 * mscale * std::log(scale) + 1.0;
}

void read_yarn(const RopeSource& source, int64_t context, RopeSpec& rope) {
  const auto get = [&](const char* key, double fallback) {
    const double value = number_or(source.values, key, fallback, source.subject);
    return value == 0 ? fallback : value;  // transformers: `get(key) or default`
  };
  if (!source.values.contains("factor")) throw Error(source.subject + ": 'factor' is missing");
  rope.factor = positive_or(  // null: what the contexts make it
      source.values, "factor",
      static_cast<double>(context) / static_cast<double>(rope.original_context), source.subject);
  const double mscale = get("mscale", 0.0);
  const double mscale_all = get("mscale_all_dim", 0.0);
  const double inferred = mscale != 0 && mscale_all != 0 ? yarn_mscale(rope.factor, mscale) /
                                                               yarn_mscale(rope.factor, mscale_all)
                                                         : yarn_mscale(rope.factor, 1.0);
  rope.attention_factor = number_or(source.values, "attention_factor", inferred, source.subject);
  rope.beta_fast = get("beta_fast", 32.0);
  rope.beta_slow = get("beta_slow", 1.0);
  const auto truncate = source.values.find("truncate");
  rope.truncate =
      truncate == source.values.end() || !truncate->is_boolean() || truncate->get<bool>();
}

int64_t original_context(const Json& config, const RopeSource& source, int64_t context,
                         const std::string& subject) {
  constexpr const char* kKey = "original_max_position_embeddings";
  const double inner =
      positive_or(source.values, kKey, static_cast<double>(context), source.subject);
  return static_cast<int64_t>(positive_or(config, kKey, inner, subject));
}

// inv_freq without scaling: theta^(-2i/d).
std::vector<double> plain_frequencies(double theta, int64_t rotary) {
  std::vector<double> frequencies(static_cast<size_t>(rotary / 2));
  for (size_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(rotary));
  }
  return frequencies;
}

// Llama 3: wavelengths that the trained context saw many times stay, long ones are stretched by
// `factor`, those between are interpolated.
void scale_llama3(const RopeSpec& rope, std::vector<double>& frequencies) {
  const double trained = static_cast<double>(rope.original_context);
  for (double& frequency : frequencies) {
    const double wavelength = 2 * std::numbers::pi / frequency;
    if (wavelength < trained / rope.high_freq_factor) continue;
    if (wavelength > trained / rope.low_freq_factor) {
      frequency /= rope.factor;
      continue;
    }
    const double smooth = (trained / wavelength - rope.low_freq_factor) /
                          (rope.high_freq_factor - rope.low_freq_factor);
    frequency *= (1 - smooth) / rope.factor + smooth;
  }
}

// YaRN (Peng et al., arXiv:2309.00071): dimensions that turn more than beta_fast times within the
// trained context stay, those below beta_slow turns are interpolated, a ramp lies between.
void scale_yarn(const RopeSpec& rope, std::vector<double>& frequencies) {
  const double dim = static_cast<double>(rope.rotary);
  const auto dimension_of = [&](double turns) {
    return dim *
           std::log(static_cast<double>(rope.original_context) / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(rope.theta));
  };
  double low = dimension_of(rope.beta_fast);
  double high = dimension_of(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] = frequencies[i] / rope.factor * ramp + frequencies[i] * (1 - ramp);
  }
}

// Dynamic NTK: beyond the trained context the base grows with the length.
double dynamic_theta(const RopeSpec& rope, int64_t length, int64_t context) {
  const double ratio =
      static_cast<double>(std::max(length, context)) / static_cast<double>(context);
  const double dim = static_cast<double>(rope.rotary);
  return rope.theta * std::pow(rope.factor * ratio - (rope.factor - 1), dim / (dim - 2));
}

}  // namespace

RopeSpec rope_from_config(const Json& config, const RopeDimensions& dimensions,
                          const std::string& subject) {
  const RopeSource source = rope_source(config, subject);
  const ScalingRow& row = scaling_row(source);
  check_keys(source, row);
  RopeSpec rope;
  rope.rotary = dimensions.head_dim;
  rope.scaling = row.scaling;
  rope.theta = positive_or(source.values, "rope_theta",
                           positive_or(config, "rope_theta", 10000.0, subject), source.subject);
  if (rope.theta <= 1) throw Error(source.subject + ": rope_theta must be above 1");
  if (rope.rotary % 2 != 0) {
    throw Error(subject + ": head_dim " + std::to_string(rope.rotary) +
                " is odd, RoPE turns pairs");
  }
  const bool trained_apart =
      row.scaling == RopeScaling::kLlama3 || row.scaling == RopeScaling::kYarn;
  rope.original_context = trained_apart
                              ? original_context(config, source, dimensions.context, subject)
                              : dimensions.context;
  if (row.scaling == RopeScaling::kNone) return rope;
  if (row.scaling == RopeScaling::kYarn) {
    read_yarn(source, dimensions.context, rope);
    return rope;
  }
  rope.factor = positive_or(source.values, "factor", 1.0, source.subject);
  if (row.scaling == RopeScaling::kLlama3) {
    rope.low_freq_factor = positive_or(source.values, "low_freq_factor", 1.0, source.subject);
    rope.high_freq_factor = positive_or(source.values, "high_freq_factor", 4.0, source.subject);
    if (rope.high_freq_factor <= rope.low_freq_factor) {
      throw Error(source.subject + ": high_freq_factor must be above low_freq_factor");
    }
  }
  if (row.scaling == RopeScaling::kDynamic && (rope.rotary <= 2 || rope.factor < 1)) {
    throw Error(source.subject + ": dynamic needs head_dim above 2 and factor of 1 or more");
  }
  return rope;
}

std::vector<double> rope_frequencies(const RopeSpec& rope, int64_t length, int64_t context) {
  CHECK(rope.rotary % 2 == 0 && context > 0);
  const bool dynamic = rope.scaling == RopeScaling::kDynamic;
  auto frequencies =
      plain_frequencies(dynamic ? dynamic_theta(rope, length, context) : rope.theta, rope.rotary);
  if (rope.scaling == RopeScaling::kLinear) {
    for (double& frequency : frequencies) frequency /= rope.factor;
  }
  if (rope.scaling == RopeScaling::kLlama3) scale_llama3(rope, frequencies);
  if (rope.scaling == RopeScaling::kYarn) scale_yarn(rope, frequencies);
  return frequencies;
}

// Press et al., arXiv:2108.12409: a geometric series for powers of two; other counts take the
// series of the power below and fill up with every other slope of the power above.
std::vector<float> alibi_slopes(int64_t heads) {
  CHECK(heads > 0);
  int64_t power = 1;
  while (power * 2 <= heads) power *= 2;
  std::vector<float> slopes;
  slopes.reserve(static_cast<size_t>(heads));
  for (int64_t k = 1; k <= power; ++k) {
    slopes.push_back(
        static_cast<float>(std::exp2(-8.0 * static_cast<double>(k) / static_cast<double>(power))));
  }
  for (int64_t k = 1; k <= heads - power; ++k) {
    slopes.push_back(static_cast<float>(
        std::exp2(-8.0 * static_cast<double>(2 * k - 1) / static_cast<double>(2 * power))));
  }
  return slopes;
}

}  // namespace hone
