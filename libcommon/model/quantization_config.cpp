#include "libcommon/model/quantization_config.h"

#include <oniguruma.h>

#include <algorithm>
#include <mutex>

#include "libcommon/base/error.h"

namespace hone {
namespace {

constexpr int64_t kLargestGroup = 1 << 20;
constexpr size_t kLongestPattern = 1000;
constexpr unsigned long kRetryLimit = 100'000;  // a pattern from a file must not run for ever

// Python's re.match: anchored at the start only.
bool regex_match(const std::string& pattern, const std::string& text, const std::string& subject) {
  static std::once_flag once;
  std::call_once(once, [] {
    OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
    onig_initialize(encodings, 1);
  });
  const auto bytes = [](const std::string& s) { return reinterpret_cast<const UChar*>(s.data()); };
  regex_t* raw = nullptr;
  OnigErrorInfo info;
  if (pattern.size() > kLongestPattern ||
      onig_new(&raw, bytes(pattern), bytes(pattern) + pattern.size(), ONIG_OPTION_NONE,
               ONIG_ENCODING_UTF8, ONIG_SYNTAX_PYTHON, &info) != ONIG_NORMAL) {
    throw Error(subject + ": 're:" + pattern.substr(0, 80) + "' is not a regular expression");
  }
  const std::unique_ptr<regex_t, void (*)(regex_t*)> regex(raw, onig_free);
  const std::unique_ptr<OnigMatchParam, void (*)(OnigMatchParam*)> limits(onig_new_match_param(),
                                                                          onig_free_match_param);
  onig_initialize_match_param(limits.get());
  onig_set_retry_limit_in_match_of_match_param(limits.get(), kRetryLimit);
  const int length = onig_match_with_param(regex.get(), bytes(text), bytes(text) + text.size(),
                                           bytes(text), nullptr, ONIG_OPTION_NONE, limits.get());
  if (length < 0 && length != ONIG_MISMATCH) {
    throw Error(subject + ": 're:" + pattern.substr(0, 80) + "' takes too long to match");
  }
  return length >= 0;
}

// 3: exact name, 2: regular expression, 1: class, 0: no match.
int match_rank(const std::string& target, const std::string& module, ModuleClass kind,
               const std::string& subject) {
  if (target == module) return 3;
  if (target.starts_with("re:")) return regex_match(target.substr(3), module, subject) ? 2 : 0;
  if (kind == ModuleClass::kEmbedding) return target == "Embedding" ? 1 : 0;
  return target == "Linear" || target == "Conv1D" ? 1 : 0;
}

[[noreturn]] void not_implemented(const std::string& subject, const std::string& key,
                                  const Json& value, const std::string& known) {
  throw Error(subject + ": " + key + " " + value.dump().substr(0, 80) +
              " is not implemented; known: " + known);
}

Json value_or_null(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? Json(nullptr) : *found;
}

std::vector<std::string> strings(const Json& object, const char* key, const std::string& subject) {
  const Json list = value_or_null(object, key);
  std::vector<std::string> result;
  if (list.is_null()) return result;
  if (!list.is_array()) throw Error(subject + ": " + key + " is not a list");
  for (const Json& entry : list) {
    if (!entry.is_string()) throw Error(subject + ": " + key + " holds something else than names");
    result.push_back(entry.get<std::string>());
  }
  return result;
}

// Elements that share a scale: 0 a row, -1 the tensor.
int64_t group_of(const Json& weights, const std::string& subject) {
  const Json strategy = value_or_null(weights, "strategy");
  const Json size = value_or_null(weights, "group_size");
  const bool sized = size.is_number_integer() && size.get<int64_t>() > 0;
  const std::string name = strategy.is_string() ? strategy.get<std::string>()
                           : sized              ? "group"
                           : size == -1         ? "channel"
                                                : "tensor";
  if (name == "tensor") return -1;
  if (name == "channel") return 0;
  if (name != "group") not_implemented(subject, "strategy", strategy, "tensor, channel, group");
  if (!sized || size.get<int64_t>() > kLargestGroup) {
    throw Error(subject + ": strategy group needs a group_size from 1 to 2^20");
  }
  return size.get<int64_t>();
}

void read_weights(const Json& weights, const std::string& subject, QuantizedFormat& format) {
  const Json bits = value_or_null(weights, "num_bits");
  const Json type = value_or_null(weights, "type");
  if (!bits.is_number_integer() || bits.get<int64_t>() < 2 || bits.get<int64_t>() > 8) {
    not_implemented(subject, "num_bits", bits, "2 to 8");
  }
  if (type != "int" && type != "float" && !type.is_null()) {
    not_implemented(subject, "type", type, "int, float");
  }
  format.bits = bits.get<int>();
  format.is_float = type == "float";
  if (format.is_float && format.bits != 8) not_implemented(subject, "float num_bits", bits, "8");
  format.symmetric = value_or_null(weights, "symmetric") != Json(false);
  format.group = group_of(weights, subject);
  if (value_or_null(weights, "actorder") == "group") {
    not_implemented(subject, "actorder", "group", "weight, null");
  }
}

// "int4", "float8".
std::string kind_text(bool is_float, const Json& bits) {
  return (is_float ? "float" : "int") + bits.dump().substr(0, 80);
}

void read_input(const Json& input, const std::string& subject, QuantizedFormat& format) {
  if (input.is_null()) return;
  if (value_or_null(input, "dynamic") != Json(true)) {
    not_implemented(subject, "dynamic", value_or_null(input, "dynamic"), "true");
  }
  if (value_or_null(input, "strategy") != "token") {
    not_implemented(subject, "strategy", value_or_null(input, "strategy"), "token");
  }
  if (value_or_null(input, "symmetric") == Json(false)) {
    not_implemented(subject, "symmetric", Json(false), "true");
  }
  const Json bits = value_or_null(input, "num_bits");
  const bool is_float = value_or_null(input, "type") == "float";
  if (bits != 8 || is_float != format.is_float || format.bits != 8) {
    throw Error(subject + ": " + kind_text(is_float, bits) + " with weights of " +
                kind_text(format.is_float, format.bits) +
                " is not implemented; known: int8 with int8, float8 with float8");
  }
  format.quantize_input = true;
}

}  // namespace

QuantizationConfig::QuantizationConfig(const Json& config, const std::string& subject)
    : subject_(subject + ": config.json: quantization_config") {
  const Json quantization = value_or_null(config, "quantization_config");
  if (quantization.is_null()) return;
  if (!quantization.is_object()) throw Error(subject_ + " is not an object");
  const Json method = value_or_null(quantization, "quant_method");
  if (method != "compressed-tensors") {
    not_implemented(subject_, "quant_method", method, "compressed-tensors");
  }
  const Json sparsity = value_or_null(quantization, "sparsity_config");
  if (sparsity.is_object() && !sparsity.empty() && value_or_null(sparsity, "format") != "dense") {
    not_implemented(subject_, "sparsity_config format", value_or_null(sparsity, "format"), "dense");
  }
  const Json transform = value_or_null(quantization, "transform_config");
  if (!transform.is_null() && !value_or_null(transform, "config_groups").empty()) {
    throw Error(subject_ + ": transform_config, rotations of weights and activations, " +
                "is not implemented");
  }
  const Json cache = value_or_null(quantization, "kv_cache_scheme");
  if (!cache.is_null()) not_implemented(subject_, "kv_cache_scheme", cache, "null");
  ignore_ = strings(quantization, "ignore", subject_);
  const Json format = value_or_null(quantization, "format");
  const Json groups = value_or_null(quantization, "config_groups");
  if (!groups.is_object()) throw Error(subject_ + ": config_groups is missing");
  for (const auto& [name, group] : groups.items()) {
    read_group(group, format.is_string() ? format.get<std::string>() : "", name);
  }
}

void QuantizationConfig::read_group(const Json& group, const std::string& format,
                                    const std::string& name) {
  const std::string subject = subject_ + ": " + name;
  if (!group.is_object()) throw Error(subject + " is not an object");
  const Json weights = value_or_null(group, "weights");
  if (!weights.is_object()) throw Error(subject + ": weights is missing");
  const Json own = value_or_null(group, "format");
  const std::string layout = own.is_string() ? own.get<std::string>() : format;
  const bool packed = layout == "pack-quantized";
  const bool whole =
      layout == "int-quantized" || layout == "float-quantized" || layout == "naive-quantized";
  if (!packed && !whole) {
    not_implemented(subject, "format", layout, "pack-quantized, int-quantized, float-quantized");
  }
  Group result;
  result.format.packed = packed;
  result.targets = strings(group, "targets", subject);
  read_weights(weights, subject + ": weights", result.format);
  read_input(value_or_null(group, "input_activations"), subject + ": input_activations",
             result.format);
  if (!value_or_null(group, "output_activations").is_null()) {
    not_implemented(subject, "output_activations", group["output_activations"], "null");
  }
  if (packed && result.format.is_float) {
    not_implemented(subject, "pack-quantized type", "float", "int");
  }
  groups_.push_back(std::move(result));
}

std::optional<QuantizedFormat> QuantizationConfig::find(const std::string& module,
                                                        ModuleClass kind) const {
  for (const std::string& entry : ignore_) {
    if (match_rank(entry, module, kind, subject_) > 0) return std::nullopt;
  }
  const Group* best = nullptr;
  int best_rank = 0;
  for (const Group& group : groups_) {
    for (const std::string& target : group.targets) {
      const int rank = match_rank(target, module, kind, subject_);
      if (rank <= best_rank) continue;
      best_rank = rank;
      best = &group;
    }
  }
  if (!best) return std::nullopt;
  return best->format;
}

std::optional<QuantizedFormat> quantized_format(const Json& config, const std::string& module,
                                                const std::string& subject) {
  return QuantizationConfig(config, subject).find(module, ModuleClass::kLinear);
}

}  // namespace hone
