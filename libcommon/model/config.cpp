#include "libcommon/model/config.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "kernels/check.h"
#include "libcommon/base/error.h"

namespace hone {
namespace {

constexpr int64_t kLargestInteger = int64_t{1} << 31;  // a product of two is still exact

// Fields that most tables do not mention.
constexpr auto kCommonRows = std::to_array<ConfigRow>({
    {"kv_heads", "", "=heads"},
    {"head_dim", "", "=hidden/heads"},
    {"qkv_bias", "", "false"},
    {"output_bias", "", "false"},
    {"ffn_bias", "", "false"},
    {"window", "", "0"},
    {"window_used", "", "true"},
    {"window_from", "", "0"},
    {"scores_scaled", "", "true"},
    {"scores_by_layer", "", "false"},
});

// What related families do to the computation and none of ours does.
constexpr auto kCommonOnly = std::to_array<OnlyRow>({
    {"is_encoder_decoder", "false"},
    {"add_cross_attention", "false"},
    {"partial_rotary_factor", "1|1.0"},
    {"rope_local_base_freq", ""},
    {"attn_logit_softcapping", ""},
    {"final_logit_softcapping", ""},
    {"query_pre_attn_scalar", ""},
    {"attention_multiplier", ""},
    {"embedding_multiplier", "1|1.0"},
    {"residual_multiplier", "1|1.0"},
    {"logits_scaling", "1|1.0"},
    {"logit_scale", "1|1.0"},
    {"clip_qkv", ""},
    {"use_qk_norm", "false"},
    {"qk_layernorm", "false"},
    {"use_parallel_residual", "false"},
    {"num_experts", "0"},
    {"num_local_experts", "0"},
    {"no_rope_layers", "[]"},
    {"attention_chunk_size", ""},
    {"pruned_heads", "{}"},
});

// The parts of `text` between separators; one empty part for "".
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t at = text.find(separator); at != std::string_view::npos; at = text.find(separator)) {
    parts.push_back(text.substr(0, at));
    text.remove_prefix(at + 1);
  }
  parts.push_back(text);
  return parts;
}

const Json* present(const Json& config, std::string_view keys) {
  if (keys.empty()) return nullptr;
  for (std::string_view key : split(keys, '|')) {
    const auto found = config.find(std::string(key));
    if (found != config.end() && !found->is_null()) return &*found;
  }
  return nullptr;
}

// The key to name in an error: the one that is there, else the usual one.
std::string key_text(const Json& config, const ConfigRow& row) {
  const auto keys = split(row.keys, '|');
  for (std::string_view key : keys) {
    if (config.contains(std::string(key))) return "'" + std::string(key) + "'";
  }
  return "'" + std::string(keys.front()) + "'";
}

void refuse(const Json& config, std::span<const OnlyRow> rows, const std::string& subject) {
  for (const OnlyRow& row : rows) {
    const Json* value = present(config, row.key);
    if (!value) continue;
    const std::string text = value->dump();
    const auto known = split(row.values, '|');
    if (std::find(known.begin(), known.end(), text) != known.end()) continue;
    throw Error(subject + ": " + std::string(row.key) + " " + text.substr(0, 80) +
                " is not implemented" +
                (row.values.empty() ? "" : "; known: " + std::string(known.front())));
  }
}

std::string known_architectures() {
  std::string text;
  for (std::string_view name : architecture_names()) {
    text += (text.empty() ? "" : ", ") + std::string(name);
  }
  return text;
}

}  // namespace

const Architecture& architecture_of(const Json& config, const std::string& subject) {
  if (!config.is_object()) throw Error(subject + ": is not a JSON object");
  const std::string type = require_string(config, "model_type", subject);
  const Architecture* architecture = find_architecture(type);
  if (!architecture) {
    throw Error(subject + ": model_type '" + type +
                "' is not implemented; known: " + known_architectures());
  }
  const auto classes = config.find("architectures");
  if (classes == config.end() || !classes->is_array() || classes->empty()) return *architecture;
  for (const Json& name : *classes) {
    if (name.is_string() && name.get_ref<const std::string&>() == architecture->class_name) {
      return *architecture;
    }
  }
  throw Error(subject + ": architectures " + classes->dump().substr(0, 80) +
              " is not implemented; known for " + type + ": " +
              std::string(architecture->class_name));
}

ConfigValues::ConfigValues(const Json& config, const Architecture& architecture,
                           std::string subject)
    : config_(config), architecture_(architecture), subject_(std::move(subject)) {}

const ConfigRow& ConfigValues::row(std::string_view field) const {
  const auto is_it = [&](const ConfigRow& row) { return row.field == field; };
  const auto own = std::find_if(architecture_.config.begin(), architecture_.config.end(), is_it);
  if (own != architecture_.config.end()) return *own;
  const auto common = std::find_if(kCommonRows.begin(), kCommonRows.end(), is_it);
  CHECK(common != kCommonRows.end());  // else spec.cpp asks for a field that no table explains
  return *common;
}

std::string_view ConfigValues::fallback(const ConfigRow& row) const {
  if (row.fallback.empty()) throw Error(subject_ + ": " + key_text(config_, row) + " is missing");
  const auto choices = split(row.fallback, '|');
  if (choices.size() == 1) return choices[0];
  const auto keys = split(row.keys, '|');
  const bool is_null = std::any_of(keys.begin(), keys.end(), [&](std::string_view key) {
    return config_.contains(std::string(key));
  });
  return choices[is_null ? 1 : 0];
}

int64_t ConfigValues::evaluate(std::string_view expression, const ConfigRow& row) const {
  if (!expression.starts_with('=')) {
    int64_t value = 0;
    const auto [end, error] =
        std::from_chars(expression.data(), expression.data() + expression.size(), value);
    CHECK(error == std::errc() && end == expression.data() + expression.size());
    return value;
  }
  expression.remove_prefix(1);
  if (const size_t at = expression.find('*'); at != std::string_view::npos) {
    return evaluate(expression.substr(0, at), row) * integer(expression.substr(at + 1));
  }
  const auto parts = split(expression, '/');
  const int64_t value = integer(parts[0]);
  if (parts.size() == 1) return value;
  const int64_t divisor = integer(parts[1]);
  if (value % divisor != 0) {
    throw Error(subject_ + ": " + key_text(config_, this->row(parts[0])) + " " +
                std::to_string(value) + " is not a multiple of " +
                key_text(config_, this->row(parts[1])) + " " + std::to_string(divisor));
  }
  return value / divisor;
}

int64_t ConfigValues::integer(std::string_view field, int64_t least) const {
  const ConfigRow& row = this->row(field);
  const Json* given = present(config_, row.keys);
  if (!given) return evaluate(fallback(row), row);
  if (given->is_number_integer()) {
    const bool huge = given->is_number_unsigned() &&
                      given->get<uint64_t>() > static_cast<uint64_t>(kLargestInteger);
    const int64_t value = huge ? 0 : given->get<int64_t>();
    if (!huge && value >= least && value <= kLargestInteger) return value;
  }
  throw Error(subject_ + ": " + key_text(config_, row) + " is " + given->dump().substr(0, 80) +
              ", must be an integer from " + std::to_string(least) + " to 2^31");
}

double ConfigValues::number(std::string_view field) const {
  const ConfigRow& row = this->row(field);
  const Json* given = present(config_, row.keys);
  if (!given) return std::stod(std::string(fallback(row)));
  if (given->is_number()) return given->get<double>();
  throw Error(subject_ + ": " + key_text(config_, row) + " is " + given->dump().substr(0, 80) +
              ", must be a number");
}

bool ConfigValues::flag(std::string_view field) const {
  const ConfigRow& row = this->row(field);
  const Json* given = present(config_, row.keys);
  if (!given) return fallback(row) == "true";
  if (given->is_boolean()) return given->get<bool>();
  throw Error(subject_ + ": " + key_text(config_, row) + " is " + given->dump().substr(0, 80) +
              ", must be true or false");
}

std::string ConfigValues::text(std::string_view field) const {
  const ConfigRow& row = this->row(field);
  const Json* given = present(config_, row.keys);
  if (!given) return std::string(fallback(row));
  if (given->is_string()) return given->get<std::string>();
  throw Error(subject_ + ": " + key_text(config_, row) + " is " + given->dump().substr(0, 80) +
              ", must be a string");
}

void ConfigValues::refuse_unknown_values() const {
  refuse(config_, kCommonOnly, subject_);
  refuse(config_, architecture_.only, subject_);
}

namespace {

using TableFunction = const Architecture& (*)();
constexpr TableFunction kTables[] = {
#define X(name) name##_architecture,
    HONE_ARCHITECTURES(X)
#undef X
};

}  // namespace

const Architecture* find_architecture(std::string_view model_type) {
  for (TableFunction table : kTables) {
    if (table().model_type == model_type) return &table();
  }
  return nullptr;
}

const Architecture* find_gguf_architecture(std::string_view name) {
  for (TableFunction table : kTables) {
    if (table().gguf == name) return &table();
  }
  return nullptr;
}

std::vector<std::string_view> architecture_names() {
  std::vector<std::string_view> names;
  for (TableFunction table : kTables) names.push_back(table().model_type);
  return names;
}

}  // namespace hone
