// Mistral 7B and Nemo (Jiang et al., arXiv:2310.06825): Llama with a sliding window in all layers
// (null since v0.2) and, in Nemo, heads that do not divide the hidden size.
#include <array>

#include "libcommon/model/arch/arch.h"

namespace hone {
namespace {

constexpr auto kConfig = std::to_array<ConfigRow>({
    {"vocab", "vocab_size", ""},
    {"hidden", "hidden_size", ""},
    {"layers", "num_hidden_layers", ""},
    {"heads", "num_attention_heads", ""},
    {"kv_heads", "num_key_value_heads", "8|=heads"},
    {"head_dim", "head_dim", "=hidden/heads"},
    {"ffn", "intermediate_size", ""},
    {"context", "max_position_embeddings", "131072"},
    {"eps", "rms_norm_eps", "1e-6"},
    {"activation", "hidden_act", "silu"},
    {"tied", "tie_word_embeddings", "false"},
    {"window", "sliding_window", "4096|0"},
});

constexpr auto kTensors = std::to_array<TensorRow>({
    {Role::kEmbedding, "embed_tokens"},
    {Role::kAttentionNorm, "layers.{L}.input_layernorm"},
    {Role::kQ, "layers.{L}.self_attn.q_proj"},
    {Role::kK, "layers.{L}.self_attn.k_proj"},
    {Role::kV, "layers.{L}.self_attn.v_proj"},
    {Role::kAttentionOutput, "layers.{L}.self_attn.o_proj"},
    {Role::kFfnNorm, "layers.{L}.post_attention_layernorm"},
    {Role::kGate, "layers.{L}.mlp.gate_proj"},
    {Role::kUp, "layers.{L}.mlp.up_proj"},
    {Role::kDown, "layers.{L}.mlp.down_proj"},
    {Role::kFinalNorm, "norm"},
    {Role::kHead, "lm_head"},
});

constexpr auto kIgnored = std::to_array<std::string_view>({".rotary_emb.inv_freq"});

constexpr Architecture kTable{
    .model_type = "mistral",
    .class_name = "MistralForCausalLM",
    .prefix = "model.",
    .gguf = "llama",
    .gguf_permutes_qk = true,
    .config = kConfig,
    .tensors = kTensors,
    .only = {},
    .ignored = kIgnored,
};

}  // namespace

const Architecture& mistral_architecture() { return kTable; }

}  // namespace hone
