#include "libcommon/quant/config.h"

#include <algorithm>
#include <tuple>

#include "kernels/check.h"

namespace hone {
namespace {

// What of a scheme the file records: how a range was chosen leaves no trace.
auto recorded(const Scheme& s) {
  return std::make_tuple(s.kind, s.bits, s.symmetric, s.strategy,
                         s.strategy == Strategy::kGroup ? s.group : 0, s.quantize_input);
}

struct Group {
  Scheme scheme;
  std::vector<QuantizedModule> modules;
};

std::vector<Group> group_modules(const std::vector<QuantizedModule>& modules) {
  std::vector<Group> groups;
  for (const QuantizedModule& module : modules) {
    if (!module.scheme.scaled()) continue;
    auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& g) {
      return recorded(g.scheme) == recorded(module.scheme);
    });
    if (group == groups.end()) group = groups.insert(groups.end(), {module.scheme, {}});
    group->modules.push_back(module);
  }
  std::stable_sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) {
    return a.modules.size() > b.modules.size();
  });
  return groups;
}

// The largest group has all of class Linear that no other names.
Json targets_of(const Group& group, bool largest) {
  Json targets = Json::array();
  if (largest) targets.push_back("Linear");
  for (const QuantizedModule& module : group.modules) {
    if (!largest || module.embedding) targets.push_back(module.module);
  }
  return targets;
}

// Only these keys: the library refuses others.
Json weight_arguments(const Scheme& scheme) {
  const char* strategy = scheme.strategy == Strategy::kTensor    ? "tensor"
                         : scheme.strategy == Strategy::kChannel ? "channel"
                                                                 : "group";
  const bool grouped = scheme.strategy == Strategy::kGroup;
  return {{"num_bits", scheme.bits},
          {"type", scheme.kind == SchemeKind::kFloat8 ? "float" : "int"},
          {"symmetric", scheme.symmetric},
          {"strategy", strategy},
          {"group_size", grouped ? Json(scheme.group) : Json(nullptr)},
          {"block_structure", nullptr},
          {"dynamic", false},
          {"actorder", nullptr},
          {"observer", "minmax"},
          {"observer_kwargs", Json::object()}};
}

Json input_arguments(const Scheme& scheme) {
  if (!scheme.quantize_input) return nullptr;
  return {{"num_bits", 8},         {"type", scheme.kind == SchemeKind::kFloat8 ? "float" : "int"},
          {"symmetric", true},     {"strategy", "token"},
          {"group_size", nullptr}, {"block_structure", nullptr},
          {"dynamic", true},       {"actorder", nullptr},
          {"observer", nullptr},   {"observer_kwargs", Json::object()}};
}

bool one_format(const std::vector<Group>& groups) {
  return std::all_of(groups.begin(), groups.end(), [&](const Group& g) {
    return format_name(g.scheme) == format_name(groups.front().scheme);
  });
}

// Integers of 4 and 8 bits are packed alike in all versions; others without gaps only since 0.17.
std::string oldest_version(const std::vector<Group>& groups) {
  const bool odd = std::any_of(groups.begin(), groups.end(), [](const Group& g) {
    return g.scheme.kind == SchemeKind::kInt && g.scheme.bits != 4 && g.scheme.bits != 8;
  });
  return odd ? "0.17.0" : "0.15.0";
}

}  // namespace

std::string format_name(const Scheme& scheme) {
  CHECK(scheme.scaled());
  if (scheme.kind == SchemeKind::kFloat8) return "float-quantized";
  return scheme.quantize_input ? "int-quantized" : "pack-quantized";
}

Json quantization_config(const std::vector<QuantizedModule>& modules,
                         const std::vector<std::string>& always_ignored) {
  const std::vector<Group> groups = group_modules(modules);
  if (groups.empty()) return nullptr;
  const bool uniform = one_format(groups);
  Json config_groups = Json::object();
  for (size_t i = 0; i < groups.size(); ++i) {
    Json group = {{"targets", targets_of(groups[i], i == 0)},
                  {"weights", weight_arguments(groups[i].scheme)},
                  {"input_activations", input_arguments(groups[i].scheme)},
                  {"output_activations", nullptr}};
    if (!uniform) group["format"] = format_name(groups[i].scheme);
    config_groups["group_" + std::to_string(i)] = group;
  }
  std::vector<std::string> ignore;
  for (const QuantizedModule& module : modules) {
    if (!module.scheme.scaled()) ignore.push_back(module.module);
  }
  for (const std::string& module : always_ignored) {
    const bool listed = std::any_of(modules.begin(), modules.end(),
                                    [&](const QuantizedModule& m) { return m.module == module; });
    if (!listed) ignore.push_back(module);
  }
  return {{"quant_method", "compressed-tensors"},
          {"format", uniform ? format_name(groups.front().scheme) : "mixed-precision"},
          {"quantization_status", "compressed"},
          {"version", oldest_version(groups)},
          {"global_compression_ratio", nullptr},
          {"kv_cache_scheme", nullptr},
          {"ignore", ignore},
          {"config_groups", config_groups}};
}

}  // namespace hone
