// Qwen 3, dense (Yang et al., arXiv:2505.09388): RMS norms on each head of q and k before RoPE,
// heads of a size of their own.
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
    {"head_dim", "head_dim", "128"},
    {"ffn", "intermediate_size", ""},
    {"context", "max_position_embeddings", "32768"},
    {"eps", "rms_norm_eps", "1e-6"},
    {"activation", "hidden_act", "silu"},
    {"tied", "tie_word_embeddings", "false"},
    {"qkv_bias", "attention_bias", "false"},
    {"output_bias", "attention_bias", "false"},
    {"window_used", "use_sliding_window", "false"},
    {"window", "sliding_window", "4096|0"},
    {"window_from", "max_window_layers", "28"},
});

constexpr auto kTensors = std::to_array<TensorRow>({
    {Role::kEmbedding, "embed_tokens"},
    {Role::kAttentionNorm, "layers.{L}.input_layernorm"},
    {Role::kQ, "layers.{L}.self_attn.q_proj", "qkv_bias"},
    {Role::kK, "layers.{L}.self_attn.k_proj", "qkv_bias"},
    {Role::kV, "layers.{L}.self_attn.v_proj", "qkv_bias"},
    {Role::kQNorm, "layers.{L}.self_attn.q_norm"},
    {Role::kKNorm, "layers.{L}.self_attn.k_norm"},
    {Role::kAttentionOutput, "layers.{L}.self_attn.o_proj", "output_bias"},
    {Role::kFfnNorm, "layers.{L}.post_attention_layernorm"},
    {Role::kGate, "layers.{L}.mlp.gate_proj"},
    {Role::kUp, "layers.{L}.mlp.up_proj"},
    {Role::kDown, "layers.{L}.mlp.down_proj"},
    {Role::kFinalNorm, "norm"},
    {Role::kHead, "lm_head"},
});

constexpr auto kIgnored = std::to_array<std::string_view>({".rotary_emb.inv_freq"});

constexpr Architecture kTable{
    .model_type = "qwen3",
    .class_name = "Qwen3ForCausalLM",
    .prefix = "model.",
    .gguf = "qwen3",
    .qk_norm = true,
    .mixed_layer_types = true,
    .config = kConfig,
    .tensors = kTensors,
    .only = {},
    .ignored = kIgnored,
};

}  // namespace

const Architecture& qwen3_architecture() { return kTable; }

}  // namespace hone
