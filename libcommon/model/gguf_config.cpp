#include "libcommon/model/gguf_config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/base/utf8.h"
#include "libcommon/model/gguf_map.h"

namespace hone {
namespace {

// Fields of the architecture tables and the key of GGUF ("A." left out) that holds them.
struct KeyRow {
  std::string_view field;
  std::string_view key;
};
constexpr auto kCounts = std::to_array<KeyRow>({
    {"hidden", "embedding_length"},
    {"layers", "block_count"},
    {"heads", "attention.head_count"},
    {"kv_heads", "attention.head_count_kv"},
    {"head_dim", "attention.key_length"},
    {"ffn", "feed_forward_length"},
    {"context", "context_length"},
    {"window", "attention.sliding_window"},
});

// Keys that change the computation; nothing here can do what they ask for.
constexpr auto kRefused = std::to_array<std::string_view>({
    "expert_count",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "attention.scale",
    "embedding_scale",
    "residual_scale",
    "logit_scale",
    "attention.clamp_kqv",
    "use_parallel_residual",
    "rope.scaling.yarn_log_multiplier",
    "attention.layer_indices",
    "attention.temperature_length",
    "attention.sliding_window_pattern",
});

bool is_zero(const GgufValue& value) {
  return std::visit(
      [](const auto& held) {
        if constexpr (std::is_arithmetic_v<std::decay_t<decltype(held)>>) return held == 0;
        return false;
      },
      value);
}

// GGUF stores floats: the shortest decimal that gives the same float is what was meant (1e-05).
double meant(double value) {
  const auto narrow = static_cast<float>(value);
  if (static_cast<double>(narrow) != value) return value;
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, narrow);
  double result = value;
  std::from_chars(text, end, result);
  return result;
}

class ConfigMaker {
 public:
  ConfigMaker(const GgufContents& contents, const Architecture& architecture)
      : contents_(contents), architecture_(architecture) {}

  Json make() {
    refuse_unknown();
    config_["architectures"] = Json::array({architecture_.class_name});
    config_["model_type"] = architecture_.model_type;
    set("vocab", tensor(kGgufEmbedding).rows());
    for (const KeyRow& row : kCounts) {
      if (find(row.key)) set(row.field, integer(row.key));
    }
    const bool rms = architecture_.norm == NormKind::kRms;
    set("eps", number(rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon"));
    set("qkv_bias", has("blk.0.attn_q.bias"));
    set("ffn_bias", has("blk.0.ffn_up.bias"));
    set("tied", contents_.tied);
    fill_in_defaults();
    if (architecture_.positions == PositionKind::kRope) set_rope();
    set_ids();
    return config_;
  }

 private:
  std::string key(std::string_view suffix) const {
    return std::string(architecture_.gguf) + "." + std::string(suffix);
  }
  const GgufValue* find(std::string_view suffix) const { return contents_.keys.find(key(suffix)); }
  double number(std::string_view suffix) const {
    return meant(contents_.keys.number(key(suffix), contents_.subject));
  }
  int64_t integer(std::string_view suffix) const {
    return contents_.keys.integer(key(suffix), contents_.subject);
  }
  bool has(const std::string& name) const { return contents_.tensors.count(name) != 0; }

  const TensorInfo& tensor(std::string_view name) const {
    const auto found = contents_.tensors.find(std::string(name));
    if (found != contents_.tensors.end()) return *found->second;
    throw Error(contents_.subject + ": tensor " + quote_name(name) +
                " is missing; is this a model of its own, or a projector or adapter?");
  }

  // Under the key of config.json that the architecture's table gives the field; a field without one
  // is fixed by the architecture, and checked against the tensors' shapes later.
  template <typename Value>
  void set(std::string_view field, const Value& value) {
    for (const ConfigRow& row : architecture_.config) {
      if (row.field != field || row.keys.empty()) continue;
      config_[std::string(row.keys.substr(0, row.keys.find('|')))] = value;
    }
  }

  void refuse_unknown() const {
    for (std::string_view suffix : kRefused) {
      const GgufValue* value = find(suffix);
      if (!value || is_zero(*value)) continue;
      throw Error(contents_.subject + ": key '" + key(suffix) + "' is not implemented");
    }
    if (find("attention.key_length") && find("attention.value_length") &&
        integer("attention.key_length") != integer("attention.value_length")) {
      throw Error(contents_.subject + ": key and value lengths differ, which is not implemented");
    }
    const std::optional<int64_t> head_dim = this->head_dim();
    if (!find("rope.dimension_count") || !head_dim) return;
    const int64_t rotary = integer("rope.dimension_count");
    if (rotary == *head_dim) return;
    throw Error(contents_.subject + ": key '" + key("rope.dimension_count") + "' is " +
                std::to_string(rotary) + " in heads of " + std::to_string(*head_dim) +
                ", which is not implemented");
  }

  std::optional<int64_t> head_dim() const {
    if (find("attention.key_length")) return integer("attention.key_length");
    const int64_t hidden = integer("embedding_length");
    const int64_t heads = integer("attention.head_count");
    return heads > 0 ? std::optional(hidden / heads) : std::nullopt;
  }

  // Where config.json's own default is not GGUF's.
  void fill_in_defaults() {
    if (!find("attention.head_count_kv") && find("attention.head_count")) {
      set("kv_heads", integer("attention.head_count"));
    }
    if (const auto head_dim = this->head_dim()) set("head_dim", *head_dim);
    if (architecture_.model_type == "mistral" || !find("attention.sliding_window")) return;
    set("window_used", true);
    set("window_from", int64_t{0});
  }

  void set_rope() {
    const auto& keys = contents_.keys;
    config_["rope_theta"] = find("rope.freq_base") ? number("rope.freq_base") : 10000.0;
    config_["rope_scaling"] = nullptr;
    const std::string type = find("rope.scaling.type")
                                 ? keys.string(key("rope.scaling.type"), contents_.subject)
                             : find("rope.scale_linear") ? "linear"
                                                         : "none";
    if (type == "none") return;
    if (type != "linear" && type != "yarn") {
      throw Error(contents_.subject + ": rope.scaling.type " + quote_name(type) +
                  " is not implemented; known: none, linear, yarn");
    }
    const double factor =
        number(find("rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear");
    Json scaling = {{"rope_type", type}, {"factor", factor}};
    if (type == "yarn") add_yarn(factor, scaling);
    config_["rope_scaling"] = scaling;
  }

  void add_yarn(double factor, Json& scaling) const {
    const auto& keys = contents_.keys;
    if (find("rope.scaling.original_context_length")) {
      scaling["original_max_position_embeddings"] =
          keys.integer(key("rope.scaling.original_context_length"), contents_.subject);
    }
    if (find("rope.scaling.attn_factor")) {  // GGUF's multiplies the paper's
      const double extra = number("rope.scaling.attn_factor");
      scaling["attention_factor"] = extra * (factor > 1 ? 0.1 * std::log(factor) + 1 : 1.0);
    }
    for (const char* name : {"beta_fast", "beta_slow"}) {
      const std::string suffix = std::string("rope.scaling.yarn_") + name;
      if (find(suffix)) scaling[name] = number(suffix);
    }
  }

  void set_ids() {
    for (const auto& [name, suffix] : {std::pair{"bos_token_id", "tokenizer.ggml.bos_token_id"},
                                       std::pair{"eos_token_id", "tokenizer.ggml.eos_token_id"}}) {
      if (!contents_.keys.find(suffix)) continue;
      const int64_t id = contents_.keys.integer(suffix, contents_.subject);
      if (id >= 0 && id < (int64_t{1} << 31)) config_[name] = id;
    }
  }

  const GgufContents& contents_;
  const Architecture& architecture_;
  Json config_ = Json::object();
};

class KeyMaker {
 public:
  KeyMaker(const ModelSpec& spec, const Architecture& architecture, const std::string& subject)
      : spec_(spec), architecture_(architecture), subject_(subject) {}

  GgufKeys make() {
    const AttentionSpec& attention = spec_.layers.front().attention;
    check();
    keys_.entries = {{"general.architecture", std::string(architecture_.gguf)},
                     {"general.type", std::string("model")}};
    count("block_count", static_cast<int64_t>(spec_.layers.size()));
    count("context_length", spec_.context);
    count("embedding_length", spec_.hidden);
    count("feed_forward_length", spec_.layers.front().ffn.dim);
    count("attention.head_count", attention.heads);
    count("attention.head_count_kv", attention.kv_heads);
    const bool rms = spec_.norm.kind == NormKind::kRms;
    number(rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon",
           spec_.norm.eps);
    count("vocab_size", spec_.vocab);
    if (attention.window > 0) add_window(attention.window);
    if (spec_.positions == PositionKind::kRope) add_rope(attention);
    return std::move(keys_);
  }

 private:
  void add(const std::string& suffix, GgufValue value) {
    keys_.entries.emplace_back(std::string(architecture_.gguf) + "." + suffix, std::move(value));
  }
  void count(const char* suffix, int64_t value) { add(suffix, static_cast<uint32_t>(value)); }
  void number(const char* suffix, double value) { add(suffix, static_cast<float>(value)); }

  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(subject_ + ": " + what + " has no form in GGUF; write a directory instead");
  }

  void check() const {
    const LayerSpec& first = spec_.layers.front();
    for (const LayerSpec& layer : spec_.layers) {
      if (layer.attention.window != first.attention.window) {
        refuse("a sliding window in some layers only");
      }
      if (layer.attention.scale != first.attention.scale) {
        refuse("scale_attn_by_inverse_layer_idx");
      }
    }
    const double usual = 1 / std::sqrt(static_cast<double>(first.attention.head_dim));
    if (std::abs(first.attention.scale - usual) > 1e-12) refuse("scale_attn_weights: false");
    if (first.attention.window > 0 && architecture_.mixed_layer_types) {
      refuse("a sliding window of model_type " + spec_.architecture);
    }
    if (architecture_.qk_norm && first.attention.qkv_bias) {  // llama.cpp would not load it
      refuse("attention_bias of model_type " + spec_.architecture);
    }
    // No key holds it: readers know one activation of each architecture.
    const Activation known = first.ffn.gated ? Activation::kSilu : Activation::kGeluTanh;
    if (first.ffn.activation != known) {
      refuse(std::string("an activation other than ") + (first.ffn.gated ? "silu" : "gelu_new"));
    }
    if (spec_.rope.scaling == RopeScaling::kDynamic) refuse("rope_type 'dynamic'");
    if (!spec_.rope.truncate) refuse("yarn without truncate");
  }

  // llama.cpp's llama, the form of Mistral, does not read the key; hone does.
  void add_window(int64_t window) {
    count("attention.sliding_window", window);
    if (window >= spec_.context) return;
    log_warning(subject_ + ": llama.cpp attends to all positions of this model, not to the last " +
                std::to_string(window) + "; longer texts come out different there");
  }

  void add_rope(const AttentionSpec& attention) {
    const RopeSpec& rope = spec_.rope;
    count("attention.key_length", attention.head_dim);
    count("attention.value_length", attention.head_dim);
    count("rope.dimension_count", rope.rotary);
    number("rope.freq_base", rope.theta);
    if (rope.scaling == RopeScaling::kLinear) {
      add("rope.scaling.type", std::string("linear"));
      number("rope.scaling.factor", rope.factor);
    }
    if (rope.scaling != RopeScaling::kYarn) return;  // llama3: rope_freqs.weight
    add("rope.scaling.type", std::string("yarn"));
    number("rope.scaling.factor", rope.factor);
    count("rope.scaling.original_context_length", rope.original_context);
    const double paper = rope.factor > 1 ? 0.1 * std::log(rope.factor) + 1 : 1.0;
    if (std::abs(rope.attention_factor - paper) > 1e-9) {
      number("rope.scaling.attn_factor", rope.attention_factor / paper);
    }
    number("rope.scaling.yarn_beta_fast", rope.beta_fast);
    number("rope.scaling.yarn_beta_slow", rope.beta_slow);
  }

  const ModelSpec& spec_;
  const Architecture& architecture_;
  std::string subject_;
  GgufKeys keys_;
};

}  // namespace

const Architecture& gguf_architecture(const GgufKeys& keys, const std::string& subject) {
  const std::string name = keys.string("general.architecture", subject);
  const Architecture* found = find_gguf_architecture(name);
  if (!found) {
    std::string known;
    for (std::string_view type : architecture_names()) {
      const std::string_view gguf = find_architecture(type)->gguf;
      if (gguf == type) known += (known.empty() ? "" : ", ") + std::string(gguf);
    }
    throw Error(subject + ": general.architecture " + quote_name(name) +
                " is not implemented; known: " + known);
  }
  // llama's key for a window of all layers: what config.json calls mistral.
  const bool windowed = keys.find(name + ".attention.sliding_window") != nullptr;
  return windowed && name == "llama" ? *find_architecture("mistral") : *found;
}

Json config_from_gguf(const GgufContents& contents, const Architecture& architecture) {
  return ConfigMaker(contents, architecture).make();
}

Json llama3_scaling(const RopeSpec& rope) {
  return {{"rope_type", "llama3"},
          {"factor", rope.factor},
          {"low_freq_factor", rope.low_freq_factor},
          {"high_freq_factor", rope.high_freq_factor},
          {"original_max_position_embeddings", rope.original_context}};
}

GgufKeys keys_from_spec(const ModelSpec& spec, const Architecture& architecture,
                        const std::string& subject) {
  return KeyMaker(spec, architecture, subject).make();
}

}  // namespace hone
