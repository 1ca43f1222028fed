#include "libcommon/prune/structure.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/check.h"
#include "libcommon/base/error.h"

namespace hone {
namespace {

constexpr int64_t kUsualMultiple = 32;
// By StructureKind.
constexpr const char* kUnitNames[] = {"neurons", "key-value heads", "neurons", "layers"};

// The elements of a tensor's axis that belong to one unit.
struct UnitAxis {
  enum Axis { kNone, kOutput, kInput } axis = kNone;
  int64_t size = 1;
};

UnitAxis ffn_axis(const TensorSpec& tensor) {
  switch (tensor.role) {
    case Role::kGate:
    case Role::kUp:
      return {UnitAxis::kOutput, 1};
    case Role::kDown:
      return {tensor.bias ? UnitAxis::kNone : UnitAxis::kInput, 1};
    default:
      return {};
  }
}

UnitAxis head_axis(const ModelSpec& spec, const TensorSpec& tensor) {
  if (tensor.layer < 0) return {};
  const AttentionSpec& attention = spec.layers[static_cast<size_t>(tensor.layer)].attention;
  const int64_t queries = attention.heads / attention.kv_heads * attention.head_dim;
  switch (tensor.role) {
    case Role::kQ:
      return {UnitAxis::kOutput, queries};
    case Role::kK:
    case Role::kV:
      return {UnitAxis::kOutput, attention.head_dim};
    case Role::kAttentionOutput:
      return {tensor.bias ? UnitAxis::kNone : UnitAxis::kInput, queries};
    default:
      return {};
  }
}

std::vector<int64_t> expand_units(const std::vector<int64_t>& units, int64_t size) {
  std::vector<int64_t> elements;
  elements.reserve(units.size() * static_cast<size_t>(size));
  for (int64_t unit : units) {
    for (int64_t i = 0; i < size; ++i) elements.push_back(unit * size + i);
  }
  return elements;
}

void apply_units(const TensorSpec& tensor, bool out_in, const UnitAxis& axis,
                 const std::vector<int64_t>& units, Selected& selected) {
  if (axis.axis == UnitAxis::kNone) return;
  const bool rows = tensor.shape.size() == 2 && (axis.axis == UnitAxis::kOutput) == out_in;
  (rows ? selected.keep_rows : selected.keep_columns) = expand_units(units, axis.size);
}

// Refuses a share that takes all units or, rounded, none. Rows lose outputs in any case.
void check_share(const ModelSpec& spec, const StructureRequest& request) {
  const int64_t before = units_before(spec, request.kind);
  const int64_t after = units_after(spec, request);
  const std::string units =
      std::to_string(before) + " " + kUnitNames[static_cast<size_t>(request.kind)];
  if (after < 1) throw usage_error("--sparsity: nothing would be left of " + units);
  if (after < before || request.sparsity == 0 || request.kind == StructureKind::kRows) return;
  throw usage_error("--sparsity: too small a share, rounded none of " + units + " would go" +
                    (request.kind == StructureKind::kFfn ? "; see --round-to" : ""));
}

std::vector<int64_t> first_units(int64_t count) {
  std::vector<int64_t> units(static_cast<size_t>(count));
  std::iota(units.begin(), units.end(), 0);
  return units;
}

}  // namespace

int64_t layer_of(const std::string& name) {
  size_t begin = 0;
  while (begin < name.size()) {
    const size_t end = std::min(name.find('.', begin), name.size());
    const std::string part = name.substr(begin, end - begin);
    if (!part.empty() && part.size() < 7 &&
        part.find_first_not_of("0123456789") == std::string::npos) {
      return std::stoll(part);
    }
    begin = end + 1;
  }
  return -1;
}

std::string with_layer(const std::string& name, int64_t layer) {
  const int64_t old = layer_of(name);
  if (old < 0) return name;
  const std::string part = "." + std::to_string(old) + ".";
  const size_t at = ("." + name).find(part);  // the leading dot: "0.weight" in bare lists
  CHECK(at != std::string::npos);
  return ("." + name).replace(at, part.size(), "." + std::to_string(layer) + ".").substr(1);
}

void check_structure(const ModelSpec& spec, const StructureRequest& request,
                     const std::string& subject) {
  const bool fused = std::any_of(spec.tensors.begin(), spec.tensors.end(),
                                 [](const TensorSpec& t) { return t.role == Role::kQkv; });
  const std::string fixed =
      subject + ": a " + spec.architecture + " config.json cannot say how many ";
  if (request.kind == StructureKind::kHeads && fused) {
    throw usage_error(fixed + "heads are left (head_dim is always hidden / heads); prune " +
                      (spec.architecture == "bloom" ? "layers" : "ffn or layers") + " instead");
  }
  const bool ffn = request.kind == StructureKind::kFfn || request.kind == StructureKind::kRows;
  if (ffn && spec.architecture == "bloom") {
    throw usage_error(fixed + "FFN neurons are left (always 4 * hidden); prune layers instead");
  }
  check_share(spec, request);
}

int64_t units_before(const ModelSpec& spec, StructureKind kind) {
  if (kind == StructureKind::kLayers) return static_cast<int64_t>(spec.layers.size());
  const LayerSpec& layer = spec.layers.front();
  return kind == StructureKind::kHeads ? layer.attention.kv_heads : layer.ffn.dim;
}

int64_t units_after(const ModelSpec& spec, const StructureRequest& request) {
  const int64_t before = units_before(spec, request.kind);
  const double exact = static_cast<double>(before) * (1 - request.sparsity);
  const bool ffn = request.kind == StructureKind::kFfn || request.kind == StructureKind::kRows;
  int64_t multiple = 1;
  if (ffn) {
    multiple = request.round_to > 0           ? request.round_to
               : before >= 2 * kUsualMultiple ? kUsualMultiple
                                              : 1;
  }
  const auto rounded =
      static_cast<int64_t>(std::llround(exact / static_cast<double>(multiple))) * multiple;
  return std::min(rounded, before);
}

Structure guess_structure(const ModelSpec& spec, const StructureRequest& request) {
  const std::vector<int64_t> kept = first_units(units_after(spec, request));
  Structure structure;
  structure.layers = first_units(static_cast<int64_t>(spec.layers.size()));
  if (request.kind == StructureKind::kLayers) {
    structure.layers = kept;
    return structure;
  }
  for (int64_t layer : structure.layers) {
    (request.kind == StructureKind::kHeads ? structure.heads : structure.ffn)[layer] = kept;
  }
  return structure;
}

Selected select_units(const ModelSpec& spec, const TensorSpec& tensor, const Structure& structure,
                      bool out_in) {
  Selected selected;
  if (const auto ffn = structure.ffn.find(tensor.layer); ffn != structure.ffn.end()) {
    apply_units(tensor, out_in, ffn_axis(tensor), ffn->second, selected);
  }
  if (const auto heads = structure.heads.find(tensor.layer); heads != structure.heads.end()) {
    apply_units(tensor, out_in, head_axis(spec, tensor), heads->second, selected);
  }
  if (const auto zeroed = structure.zeroed_outputs.find(tensor.name);
      zeroed != structure.zeroed_outputs.end()) {
    (out_in ? selected.zero_rows : selected.zero_columns) = zeroed->second;
  }
  return selected;
}

namespace {

void set_first_key(Json& config, std::initializer_list<const char*> keys, int64_t value) {
  for (const char* key : keys) {
    if (config.contains(key)) {
      config[key] = value;
      return;
    }
  }
  config[*keys.begin()] = value;
}

void drop_layers(Json& config, const std::vector<int64_t>& kept) {
  set_first_key(config, {"num_hidden_layers", "n_layer", "num_layers"},
                static_cast<int64_t>(kept.size()));
  if (config.contains("layer_types") && config["layer_types"].is_array()) {
    Json types = Json::array();
    for (int64_t layer : kept) types.push_back(config["layer_types"][static_cast<size_t>(layer)]);
    config["layer_types"] = types;
  }
  // Layers from this index on slide: as many of those that stay lie before it.
  if (config.contains("max_window_layers") && config["max_window_layers"].is_number_integer()) {
    const auto limit = config["max_window_layers"].get<int64_t>();
    config["max_window_layers"] =
        std::count_if(kept.begin(), kept.end(), [&](int64_t layer) { return layer < limit; });
  }
}

}  // namespace

Json structured_config(const Json& config, const ModelSpec& spec, const Structure& structure) {
  Json result = config;
  if (structure.layers.size() != spec.layers.size()) drop_layers(result, structure.layers);
  if (!structure.ffn.empty()) {
    const auto dim = static_cast<int64_t>(structure.ffn.begin()->second.size());
    if (spec.architecture == "gpt2") {
      result["n_inner"] = dim;
    } else {
      result["intermediate_size"] = dim;
    }
  }
  if (!structure.heads.empty()) {
    const AttentionSpec& attention = spec.layers.front().attention;
    const auto kv_heads = static_cast<int64_t>(structure.heads.begin()->second.size());
    result["num_attention_heads"] = attention.heads / attention.kv_heads * kv_heads;
    result["num_key_value_heads"] = kv_heads;
    result["head_dim"] = attention.head_dim;
  }
  return result;
}

}  // namespace hone
