// What an architecture is: a table, no code. One file here per model_type of config.json, one row
// in HONE_ARCHITECTURES; config.cpp and spec.cpp interpret them. A property that no table here has
// yet becomes a field of Architecture and a branch in spec.cpp.
#pragma once

#include <span>
#include <string_view>

#include "libcommon/model/spec.h"

namespace hone {

#define HONE_ARCHITECTURES(X) X(llama) X(mistral) X(qwen2) X(qwen3) X(gpt2) X(bloom)

// Where a property of the model stands in config.json. Fields are the words that spec.cpp asks for;
// those that a table does not list have the row of kCommonRows (config.cpp).
struct ConfigRow {
  std::string_view field;  // "kv_heads"
  std::string_view keys;   // names in config.json, the first that is present and not null counts:
                           // "n_embd|hidden_size"; "" where the architecture fixes the value
  std::string_view fallback;  // where none is present. "": it is required; "12", "silu", "true";
                              // "=heads": another field; "=hidden/heads", "=4*hidden".
                              // "A|B": A where the key is missing, B where it is null
};

// One module and its tensors: MODULE.weight, and MODULE.bias where there is one.
struct TensorRow {
  Role role;
  std::string_view module;     // "layers.{L}.self_attn.q_proj"
  std::string_view bias = "";  // "": never; "true": always; else the boolean field that says so
  StoredLayout layout = StoredLayout::kOutIn;
};

// A key of config.json that changes the computation in a way that is not implemented, unless it is
// missing, null or one of these values.
struct OnlyRow {
  std::string_view key;
  std::string_view values;  // JSON texts: "false", "1|1.0", "" (no value at all)
};

struct Architecture {
  std::string_view model_type;    // "llama"
  std::string_view class_name;    // "LlamaForCausalLM"
  std::string_view prefix;        // before every module but the head; a file may leave it out
  std::string_view gguf;          // general.architecture
  bool gguf_permutes_qk = false;  // GGUF has the rows of q and k in interleaved-RoPE order
  bool gguf_writes_head = false;  // GGUF repeats a tied embedding as output.weight

  NormKind norm = NormKind::kRms;
  bool norm_bias = false;
  PositionKind positions = PositionKind::kRope;
  bool gated = true;
  bool qk_norm = false;
  bool mixed_layer_types = false;  // layer_types may mix full and sliding attention

  std::span<const ConfigRow> config;
  std::span<const TensorRow> tensors;  // in execution order; {L}: once for each layer
  std::span<const OnlyRow> only;
  std::span<const std::string_view> ignored;  // ends of names of buffers that old files carry
};

#define X(name) const Architecture& name##_architecture();
HONE_ARCHITECTURES(X)
#undef X

// By model_type; null where there is none.
const Architecture* find_architecture(std::string_view model_type);
// By GGUF's general.architecture: the first row that has it (llama for mistral).
const Architecture* find_gguf_architecture(std::string_view name);

}  // namespace hone
