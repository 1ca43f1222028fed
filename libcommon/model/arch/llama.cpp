// Llama 1, 2, 3 (Touvron et al., arXiv:2302.13971, 2307.09288; Grattafiori et al., 2407.21783) and
// the many models that are saved as LlamaForCausalLM.
#include <array>

#include "libcommon/model/arch/arch.h"

namespace hone {
namespace {

constexpr auto kConfig = std::to_array<ConfigRow>({
    {"vocab", "vocab_size", ""},
    {"hidden", "hidden_size", ""},
    {"layers", "num_hidden_layers", ""},
    {"heads", "num_attention_heads", ""},
    {"kv_heads", "num_key_value_heads", "=heads"},
    {"head_dim", "head_dim", "=hidden/heads"},
    {"ffn", "intermediate_size", ""},
    {"context", "max_position_embeddings", "2048"},
    {"eps", "rms_norm_eps", "1e-6"},
    {"activation", "hidden_act", "silu"},
    {"tied", "tie_word_embeddings", "false"},
    {"qkv_bias", "attention_bias", "false"},
    {"output_bias", "attention_bias", "false"},
    {"ffn_bias", "mlp_bias", "false"},
});

constexpr auto kTensors = std::to_array<TensorRow>({
    {Role::kEmbedding, "embed_tokens"},
    {Role::kAttentionNorm, "layers.{L}.input_layernorm"},
    {Role::kQ, "layers.{L}.self_attn.q_proj", "qkv_bias"},
    {Role::kK, "layers.{L}.self_attn.k_proj", "qkv_bias"},
    {Role::kV, "layers.{L}.self_attn.v_proj", "qkv_bias"},
    {Role::kAttentionOutput, "layers.{L}.self_attn.o_proj", "output_bias"},
    {Role::kFfnNorm, "layers.{L}.post_attention_layernorm"},
    {Role::kGate, "layers.{L}.mlp.gate_proj", "ffn_bias"},
    {Role::kUp, "layers.{L}.mlp.up_proj", "ffn_bias"},
    {Role::kDown, "layers.{L}.mlp.down_proj", "ffn_bias"},
    {Role::kFinalNorm, "norm"},
    {Role::kHead, "lm_head"},
});

constexpr auto kIgnored = std::to_array<std::string_view>({".rotary_emb.inv_freq"});

constexpr Architecture kTable{
    .model_type = "llama",
    .class_name = "LlamaForCausalLM",
    .prefix = "model.",
    .gguf = "llama",
    .gguf_permutes_qk = true,
    .config = kConfig,
    .tensors = kTensors,
    .only = {},
    .ignored = kIgnored,
};

}  // namespace

const Architecture& llama_architecture() { return kTable; }

}  // namespace hone
