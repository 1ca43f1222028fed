// GPT-2 (Radford et al., 2019): learned positions, LayerNorm, one matrix for q, k, v. Its matrices
// are Conv1D modules, stored [in, out].
#include <array>

#include "libcommon/model/arch/arch.h"

namespace hone {
namespace {

constexpr auto kConfig = std::to_array<ConfigRow>({
    {"vocab", "vocab_size", "50257"},
    {"hidden", "n_embd|hidden_size", "768"},
    {"layers", "n_layer|num_hidden_layers", "12"},
    {"heads", "n_head|num_attention_heads", "12"},
    {"ffn", "n_inner", "=4*hidden"},
    {"context", "n_positions|max_position_embeddings", "1024"},
    {"eps", "layer_norm_epsilon", "1e-5"},
    {"activation", "activation_function", "gelu_new"},
    {"tied", "tie_word_embeddings", "true"},
    {"scores_scaled", "scale_attn_weights", "true"},
    {"scores_by_layer", "scale_attn_by_inverse_layer_idx", "false"},
    {"qkv_bias", "", "true"},
    {"output_bias", "", "true"},
    {"ffn_bias", "", "true"},
});

constexpr auto kTensors = std::to_array<TensorRow>({
    {Role::kEmbedding, "wte"},
    {Role::kPositionEmbedding, "wpe"},
    {Role::kAttentionNorm, "h.{L}.ln_1", "true"},
    {Role::kQkv, "h.{L}.attn.c_attn", "true", StoredLayout::kInOut},
    {Role::kAttentionOutput, "h.{L}.attn.c_proj", "true", StoredLayout::kInOut},
    {Role::kFfnNorm, "h.{L}.ln_2", "true"},
    {Role::kUp, "h.{L}.mlp.c_fc", "true", StoredLayout::kInOut},
    {Role::kDown, "h.{L}.mlp.c_proj", "true", StoredLayout::kInOut},
    {Role::kFinalNorm, "ln_f", "true"},
    {Role::kHead, "lm_head"},
});

constexpr auto kIgnored = std::to_array<std::string_view>({".attn.bias", ".attn.masked_bias"});

constexpr Architecture kTable{
    .model_type = "gpt2",
    .class_name = "GPT2LMHeadModel",
    .prefix = "transformer.",
    .gguf = "gpt2",
    .gguf_writes_head = true,
    .norm = NormKind::kLayer,
    .norm_bias = true,
    .positions = PositionKind::kLearned,
    .gated = false,
    .config = kConfig,
    .tensors = kTensors,
    .only = {},
    .ignored = kIgnored,
};

}  // namespace

const Architecture& gpt2_architecture() { return kTable; }

}  // namespace hone
