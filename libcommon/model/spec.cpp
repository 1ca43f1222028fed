#include "libcommon/model/spec.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_set>

#include "kernels/check.h"
#include "libcommon/base/error.h"
#include "libcommon/model/config.h"
#include "libcommon/model/names.h"
#include "libcommon/model/rope.h"

namespace hone {
namespace {

constexpr int64_t kMostLayers = 10'000;

struct ActivationRow {
  std::string_view name;
  Activation activation;
};
constexpr auto kActivations = std::to_array<ActivationRow>({
    {"silu", Activation::kSilu},
    {"swish", Activation::kSilu},
    {"gelu", Activation::kGelu},
    {"gelu_python", Activation::kGelu},
    {"gelu_new", Activation::kGeluTanh},
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"gelu_fast", Activation::kGeluTanh},
});

Activation activation_named(const std::string& name, const std::string& subject) {
  std::string known;
  for (const ActivationRow& row : kActivations) {
    if (row.name == name) return row.activation;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  throw Error(subject + ": hidden_act '" + name + "' is not implemented; known: " + known);
}

// Sliding window of each layer, 0: none.
std::vector<int64_t> windows(const ConfigValues& values, bool mixed, int64_t layers) {
  const int64_t window = values.flag("window_used") ? values.integer("window") : 0;
  const int64_t from = values.integer("window_from", 0);
  std::vector<int64_t> result(static_cast<size_t>(layers), 0);
  for (int64_t i = from; i < layers; ++i) result[static_cast<size_t>(i)] = window;
  const auto types = values.config().find("layer_types");
  if (types == values.config().end() || types->is_null()) return result;
  const std::string subject = values.subject() + ": layer_types";
  if (!types->is_array() || static_cast<int64_t>(types->size()) != layers) {
    throw Error(subject + " must list " + std::to_string(layers) + " layers");
  }
  for (size_t i = 0; i < types->size(); ++i) {
    const bool full = (*types)[i] == "full_attention";
    if (!full && (*types)[i] != "sliding_attention") {
      throw Error(subject + ": " + (*types)[i].dump().substr(0, 80) +
                  " is not implemented; known: full_attention, sliding_attention");
    }
    if (!full && window == 0) throw Error(subject + ": sliding_attention without sliding_window");
    const int64_t listed = full ? 0 : window;
    if (!mixed && listed != result[i]) {
      throw Error(subject + ": differing layers are not implemented for this model_type");
    }
    result[i] = listed;
  }
  return result;
}

double attention_scale(const ConfigValues& values, int64_t head_dim, int64_t layer) {
  double scale = 1.0;
  if (values.flag("scores_scaled")) scale /= std::sqrt(static_cast<double>(head_dim));
  if (values.flag("scores_by_layer")) scale /= static_cast<double>(layer + 1);
  return scale;
}

// Everything of a layer but its place among the others.
LayerSpec read_layer(const ConfigValues& values, const Architecture& architecture) {
  LayerSpec layer;
  AttentionSpec& attention = layer.attention;
  attention.heads = values.integer("heads");
  attention.kv_heads = values.integer("kv_heads");
  attention.head_dim = values.integer("head_dim");
  attention.qkv_bias = values.flag("qkv_bias");
  attention.output_bias = values.flag("output_bias");
  attention.qk_norm = architecture.qk_norm;
  if (attention.heads % attention.kv_heads != 0) {
    throw Error(values.subject() + ": " + std::to_string(attention.heads) +
                " heads are not a multiple of num_key_value_heads " +
                std::to_string(attention.kv_heads));
  }
  layer.ffn.dim = values.integer("ffn");
  layer.ffn.gated = architecture.gated;
  layer.ffn.bias = values.flag("ffn_bias");
  layer.ffn.activation = activation_named(values.text("activation"), values.subject());
  return layer;
}

void read_model(const ConfigValues& values, const Architecture& architecture, ModelSpec& spec) {
  spec.architecture = architecture.model_type;
  spec.vocab = values.integer("vocab");
  spec.hidden = values.integer("hidden");
  spec.context = values.integer("context");
  spec.norm = {architecture.norm, values.number("eps"), architecture.norm_bias};
  if (!(spec.norm.eps >= 0 && spec.norm.eps < 1)) {
    throw Error(values.subject() + ": the norms' epsilon must be in [0, 1)");
  }
  spec.positions = architecture.positions;
  const int64_t layers = values.integer("layers");
  if (layers > kMostLayers) {
    throw Error(values.subject() + ": " + std::to_string(layers) + " layers, at most " +
                std::to_string(kMostLayers) + " are implemented");
  }
  const LayerSpec pattern = read_layer(values, architecture);
  const std::vector<int64_t> window = windows(values, architecture.mixed_layer_types, layers);
  spec.layers.assign(static_cast<size_t>(layers), pattern);
  for (int64_t i = 0; i < layers; ++i) {
    AttentionSpec& attention = spec.layers[static_cast<size_t>(i)].attention;
    attention.window = window[static_cast<size_t>(i)];
    attention.scale = attention_scale(values, attention.head_dim, i);
  }
  if (spec.positions == PositionKind::kRope) {
    spec.rope = rope_from_config(values.config(), {pattern.attention.head_dim, spec.context},
                                 values.subject());
  }
}

// [out, in] of a role's matrix, or [n] of a vector.
std::vector<int64_t> role_shape(const ModelSpec& spec, Role role) {
  const AttentionSpec& attention = spec.layers.front().attention;
  const int64_t hidden = spec.hidden;
  const int64_t ffn = spec.layers.front().ffn.dim;
  const int64_t q = attention.heads * attention.head_dim;
  const int64_t kv = attention.kv_heads * attention.head_dim;
  switch (role) {
    case Role::kEmbedding:
    case Role::kHead:
      return {spec.vocab, hidden};
    case Role::kPositionEmbedding:
      return {spec.context, hidden};
    case Role::kEmbeddingNorm:
    case Role::kAttentionNorm:
    case Role::kFfnNorm:
    case Role::kFinalNorm:
      return {hidden};
    case Role::kQ:
      return {q, hidden};
    case Role::kK:
    case Role::kV:
      return {kv, hidden};
    case Role::kQkv:
      return {q + 2 * kv, hidden};
    case Role::kQNorm:
    case Role::kKNorm:
      return {attention.head_dim};
    case Role::kAttentionOutput:
      return {hidden, q};
    case Role::kGate:
    case Role::kUp:
      return {ffn, hidden};
    case Role::kDown:
      return {hidden, ffn};
  }
  CHECK(false);
  return {};
}

bool is_linear(Role role) {
  switch (role) {
    case Role::kQ:
    case Role::kK:
    case Role::kV:
    case Role::kQkv:
    case Role::kAttentionOutput:
    case Role::kGate:
    case Role::kUp:
    case Role::kDown:
      return true;
    default:
      return false;
  }
}

std::string with_layer(std::string_view module, int64_t layer) {
  constexpr std::string_view kPlace = "{L}";
  std::string text(module);
  const size_t at = text.find(kPlace);
  return at == std::string::npos ? text : text.replace(at, kPlace.size(), std::to_string(layer));
}

class TensorLister {
 public:
  TensorLister(const ConfigValues& values, std::string_view prefix, ModelSpec& spec)
      : values_(values), prefix_(prefix), spec_(spec) {}

  // Rows in table order; a run of rows with {L} is repeated as a block for each layer.
  void list(std::span<const TensorRow> rows) {
    const auto in_layer = [](const TensorRow& row) {
      return row.module.find("{L}") != std::string_view::npos;
    };
    for (auto row = rows.begin(); row != rows.end();) {
      const auto end = in_layer(*row) ? std::find_if_not(row, rows.end(), in_layer) : row + 1;
      const int64_t first = in_layer(*row) ? 0 : -1;
      const int64_t last = in_layer(*row) ? static_cast<int64_t>(spec_.layers.size()) : 0;
      for (int64_t layer = first; layer < last; ++layer) {
        for (auto it = row; it != end; ++it) add(*it, layer);
      }
      row = end;
    }
  }

 private:
  void add(const TensorRow& row, int64_t layer) {
    if (row.role == Role::kHead && spec_.tied) return;
    if (row.role == Role::kEmbeddingNorm) spec_.embedding_norm = true;
    const std::string module =
        (row.role == Role::kHead ? "" : std::string(prefix_)) + with_layer(row.module, layer);
    TensorSpec tensor{.name = module + ".weight",
                      .role = row.role,
                      .layer = layer,
                      .shape = role_shape(spec_, row.role),
                      .layout = row.layout,
                      .linear = is_linear(row.role)};
    const int64_t outputs = tensor.shape.front();
    if (row.layout == StoredLayout::kInOut) std::reverse(tensor.shape.begin(), tensor.shape.end());
    spec_.tensors.push_back(tensor);
    const bool biased = row.bias == "true" || (!row.bias.empty() && values_.flag(row.bias));
    if (!biased) return;
    tensor.name = module + ".bias";
    tensor.bias = true;
    tensor.shape = {outputs};
    tensor.linear = false;
    if (tensor.layout == StoredLayout::kInOut) tensor.layout = StoredLayout::kOutIn;
    spec_.tensors.push_back(std::move(tensor));
  }

  const ConfigValues& values_;
  std::string_view prefix_;
  ModelSpec& spec_;
};

std::string module_with_role(const Architecture& architecture, Role role) {
  for (const TensorRow& row : architecture.tensors) {
    if (row.role == role) return std::string(row.module);
  }
  CHECK(false);
  return {};
}

// Whether `module` has a tensor of any form ("P.weight", "P.weight_packed" ...).
class StoredModules {
 public:
  explicit StoredModules(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      const size_t dot = name.rfind('.');
      if (dot != std::string::npos) modules_.insert(name.substr(0, dot));
    }
  }
  bool has(const std::string& module) const { return modules_.count(module) != 0; }

 private:
  std::unordered_set<std::string> modules_;
};

bool uses_prefix(const Architecture& architecture, const std::vector<std::string>& names) {
  if (names.empty()) return true;
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return name.starts_with(architecture.prefix);
  });
}

// Names the embedding, and says whether it is the head as well. Where both are stored, they are
// two; of one alone the config says so, or an alias. (transformers would draw a missing head at
// random.)
struct Ends {
  bool tied = false;
  std::string shared_name;  // not empty: both lie under the head's name
};

Ends find_ends(const ConfigValues& values, const Architecture& architecture,
               std::string_view prefix, const StoredNames& stored) {
  if (stored.names.empty()) return {values.flag("tied"), ""};
  const StoredModules modules(stored.names);
  const std::string head = module_with_role(architecture, Role::kHead);
  const std::string embedding =
      std::string(prefix) + module_with_role(architecture, Role::kEmbedding);
  const bool has_head = modules.has(head);
  if (has_head && modules.has(embedding)) return {false, ""};
  const auto is_alias = [&](const std::string& module, const std::string& of) {
    const auto alias = stored.aliases.find(module + ".weight");
    return alias != stored.aliases.end() && alias->second == of + ".weight";
  };
  const bool tied = values.flag("tied") || is_alias(head, embedding) || is_alias(embedding, head);
  return {tied, tied && has_head ? head + ".weight" : ""};
}

}  // namespace

ModelSpec build_spec(const Json& config, const StoredNames& stored, const std::string& subject) {
  const std::string where = subject + ": config.json";
  const Architecture& architecture = architecture_of(config, where);
  const ConfigValues values(config, architecture, where);
  values.refuse_unknown_values();
  ModelSpec spec;
  read_model(values, architecture, spec);
  const std::string_view prefix =
      uses_prefix(architecture, stored.names) ? architecture.prefix : std::string_view();
  const Ends ends = find_ends(values, architecture, prefix, stored);
  spec.tied = ends.tied;
  TensorLister(values, prefix, spec).list(architecture.tensors);
  if (!ends.shared_name.empty()) spec.tensors.front().name = ends.shared_name;
  return spec;
}

ModelSpec spec_from_config(const Json& config, const std::vector<std::string>& tensor_names,
                           const std::string& subject) {
  return build_spec(config, {tensor_names, {}}, subject);
}

const TensorSpec* ModelSpec::find(std::string_view name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const TensorSpec& tensor) { return tensor.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

std::string_view role_name(Role role) {
  switch (role) {
    case Role::kEmbedding:
      return "embedding";
    case Role::kPositionEmbedding:
      return "position_embedding";
    case Role::kEmbeddingNorm:
      return "embedding_norm";
    case Role::kAttentionNorm:
      return "attn.norm";
    case Role::kQ:
      return "attn.q";
    case Role::kK:
      return "attn.k";
    case Role::kV:
      return "attn.v";
    case Role::kQkv:
      return "attn.qkv";
    case Role::kQNorm:
      return "attn.q_norm";
    case Role::kKNorm:
      return "attn.k_norm";
    case Role::kAttentionOutput:
      return "attn.output";
    case Role::kFfnNorm:
      return "ffn.norm";
    case Role::kGate:
      return "ffn.gate";
    case Role::kUp:
      return "ffn.up";
    case Role::kDown:
      return "ffn.down";
    case Role::kFinalNorm:
      return "final_norm";
    case Role::kHead:
      return "head";
  }
  CHECK(false);
  return {};
}

}  // namespace hone
