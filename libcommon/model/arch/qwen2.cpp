// Qwen 2 and 2.5 (Yang et al., arXiv:2407.10671, 2412.15115): Llama with biases on q, k, v (always,
// no key says so) and, in some, a sliding window in the upper layers.
#include <array>

#include "libcommon/model/arch/arch.h"

namespace hone {
namespace {

constexpr auto kConfig = std::to_array<ConfigRow>({
    {"vocab", "vocab_size", ""},
    {"hidden", "hidden_size", ""},
    {"layers", "num_hidden_layers", ""},
    {"heads", "num_attention_heads", ""},
    {"kv_heads", "num_key_value_heads", "32|=heads"},
    {"head_dim", "head_dim", "=hidden/heads"},
    {"ffn", "intermediate_size", ""},
    {"context", "max_position_embeddings", "32768"},
    {"eps", "rms_norm_eps", "1e-6"},
    {"activation", "hidden_act", "silu"},
    {"tied", "tie_word_embeddings", "false"},
    {"qkv_bias", "", "true"},
    {"window_used", "use_sliding_window", "false"},
    {"window", "sliding_window", "4096|0"},
    {"window_from", "max_window_layers", "28"},
});

constexpr auto kTensors = std::to_array<TensorRow>({
    {Role::kEmbedding, "embed_tokens"},
    {Role::kAttentionNorm, "layers.{L}.input_layernorm"},
    {Role::kQ, "layers.{L}.self_attn.q_proj", "true"},
    {Role::kK, "layers.{L}.self_attn.k_proj", "true"},
    {Role::kV, "layers.{L}.self_attn.v_proj", "true"},
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
    .model_type = "qwen2",
    .class_name = "Qwen2ForCausalLM",
    .prefix = "model.",
    .gguf = "qwen2",
    .mixed_layer_types = true,
    .config = kConfig,
    .tensors = kTensors,
    .only = {},
    .ignored = kIgnored,
};

}  // namespace

const Architecture& qwen2_architecture() { return kTable; }

}  // namespace hone
