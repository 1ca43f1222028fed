// A model as a tree of plain data: everything the graph needs to know, no code per architecture.
// Made from config.json by the tables in arch/. Properties, not names: "has ALiBi", not "is BLOOM".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/ops.h"
#include "libcommon/io/checkpoint.h"
#include "libcommon/ranks/shard.h"

namespace hone {

enum class NormKind : uint8_t { kRms, kLayer };

struct NormSpec {
  NormKind kind = NormKind::kRms;
  double eps = 1e-5;
  bool bias = false;
};

enum class PositionKind : uint8_t { kRope, kLearned, kAlibi };
enum class RopeScaling : uint8_t { kNone, kLinear, kDynamic, kLlama3, kYarn };

struct RopeSpec {
  double theta = 10000.0;
  int64_t rotary = 0;  // elements of each head that turn
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;
  double low_freq_factor = 1.0;   // llama3
  double high_freq_factor = 4.0;  // llama3
  double beta_fast = 32.0;        // yarn
  double beta_slow = 1.0;         // yarn
  bool truncate = true;           // yarn: round the ramp's ends to whole dimensions
  double attention_factor = 1.0;  // cos and sin are multiplied by it
  int64_t original_context = 0;   // trained length, before scaling
};

struct AttentionSpec {
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  double scale = 0.0;  // of q.k
  int64_t window = 0;  // sliding window, 0: none
  bool qkv_bias = false;
  bool output_bias = false;
  bool qk_norm = false;  // RMS over head_dim of q and k, before RoPE
};

struct FfnSpec {
  int64_t dim = 0;
  bool gated = true;  // down(act(gate x) * up x), else down(act(up x))
  Activation activation = Activation::kSilu;
  bool bias = false;
};

struct LayerSpec {  // x += attention(norm x); x += ffn(norm x)
  AttentionSpec attention;
  FfnSpec ffn;
};

// What a tensor is for, the same word in every architecture.
enum class Role : uint8_t {
  kEmbedding,          // [vocab, hidden]
  kPositionEmbedding,  // [context, hidden]
  kEmbeddingNorm,
  kAttentionNorm,
  kQ,
  kK,
  kV,
  kQkv,  // stored as one: rows q, k, v after StoredLayout is undone
  kQNorm,
  kKNorm,  // [head_dim]
  kAttentionOutput,
  kFfnNorm,
  kGate,
  kUp,
  kDown,
  kFinalNorm,
  kHead,  // [vocab, hidden]; absent when tied
};
inline bool is_embedding(Role role) {
  return role == Role::kEmbedding || role == Role::kPositionEmbedding;
}
std::string_view role_name(Role role);  // "attn.q", "ffn.down": in reports

// How a tensor's rows lie in a Hugging Face file.
enum class StoredLayout : uint8_t {
  kOutIn,    // [out, in]: the usual Linear
  kInOut,    // [in, out]: GPT-2's Conv1D
  kHeadQkv,  // rows [head][q, k, v][head_dim]: BLOOM's fused projection
};

// One tensor that the architecture expects, under its Hugging Face name.
struct TensorSpec {
  std::string name;  // "model.layers.0.self_attn.q_proj.weight"
  Role role;
  bool bias = false;  // the role's bias rather than its weight
  int64_t layer = -1;
  std::vector<int64_t> shape;  // as in a Hugging Face file
  StoredLayout layout = StoredLayout::kOutIn;
  bool linear = false;  // a Linear's matrix: what prune and quantize work on by default
};

struct ModelSpec {
  std::string architecture;  // model_type: "llama", "gpt2"
  int64_t vocab = 0;
  int64_t hidden = 0;
  int64_t context = 0;  // positions it was made for
  NormSpec norm;        // all norms of the model alike
  bool embedding_norm = false;
  PositionKind positions = PositionKind::kRope;
  RopeSpec rope;
  bool tied = false;  // head = embedding
  Shard shard;        // whose part of the model layers describe; the rest is the whole model's
  std::vector<LayerSpec> layers;
  std::vector<TensorSpec> tensors;  // all, in execution order

  const TensorSpec* find(std::string_view name) const;
};

// From a parsed config.json. Fields that change the computation and are not implemented are refused
// by name ("config.json: hidden_act 'relu2' is not implemented; known: silu, gelu, ...").
// tensor_names: names present, to resolve optional prefixes ("transformer.") and tied heads; empty:
// the usual names.
ModelSpec spec_from_config(const Json& config, const std::vector<std::string>& tensor_names,
                           const std::string& subject);

// From a checkpoint: its config.json, its names; checks that every expected tensor (or the parts of
// its quantized form) is there with the right shape and that none is unknown.
ModelSpec spec_from_checkpoint(const CheckpointHeader& header, const std::string& subject);

// ALiBi slopes for `heads` heads, powers of two or not.
std::vector<float> alibi_slopes(int64_t heads);

// inv_freq[rotary / 2] for a sequence of `length` positions (dynamic scaling depends on it).
std::vector<double> rope_frequencies(const RopeSpec& rope, int64_t length, int64_t context);

std::vector<std::string_view> architecture_names();  // for error messages and --help

}  // namespace hone
