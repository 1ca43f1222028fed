// BLOOM (Workshop et al., arXiv:2211.05100): ALiBi instead of positions (Press et al., 2108.12409),
// a norm after the embedding, q, k, v of each head side by side in one matrix.
#include <array>

#include "libcommon/model/arch/arch.h"

namespace hone {
namespace {

constexpr auto kConfig = std::to_array<ConfigRow>({
    {"vocab", "vocab_size", "250880"},
    {"hidden", "n_embed|hidden_size", ""},
    {"layers", "n_layer|num_hidden_layers", ""},
    {"heads", "n_head|num_attention_heads", ""},
    {"ffn", "", "=4*hidden"},
    {"context", "seq_length", "2048"},
    {"eps", "layer_norm_epsilon", "1e-5"},
    {"activation", "", "gelu_new"},
    {"tied", "tie_word_embeddings", "true"},
    {"qkv_bias", "", "true"},
    {"output_bias", "", "true"},
    {"ffn_bias", "", "true"},
});

constexpr auto kTensors = std::to_array<TensorRow>({
    {Role::kEmbedding, "word_embeddings"},
    {Role::kEmbeddingNorm, "word_embeddings_layernorm", "true"},
    {Role::kAttentionNorm, "h.{L}.input_layernorm", "true"},
    {Role::kQkv, "h.{L}.self_attention.query_key_value", "true", StoredLayout::kHeadQkv},
    {Role::kAttentionOutput, "h.{L}.self_attention.dense", "true"},
    {Role::kFfnNorm, "h.{L}.post_attention_layernorm", "true"},
    {Role::kUp, "h.{L}.mlp.dense_h_to_4h", "true"},
    {Role::kDown, "h.{L}.mlp.dense_4h_to_h", "true"},
    {Role::kFinalNorm, "ln_f", "true"},
    {Role::kHead, "lm_head"},
});

constexpr auto kOnly = std::to_array<OnlyRow>({
    {"apply_residual_connection_post_layernorm", "false"},
    {"slow_but_exact", "false"},  // with pretraining_tp above 1 it leaves a bias out
});

constexpr auto kIgnored = std::to_array<std::string_view>({".attn.bias", ".attn.masked_bias"});

constexpr Architecture kTable{
    .model_type = "bloom",
    .class_name = "BloomForCausalLM",
    .prefix = "transformer.",
    .gguf = "bloom",
    .gguf_writes_head = true,
    .norm = NormKind::kLayer,
    .norm_bias = true,
    .positions = PositionKind::kAlibi,
    .gated = false,
    .config = kConfig,
    .tensors = kTensors,
    .only = kOnly,
    .ignored = kIgnored,
};

}  // namespace

const Architecture& bloom_architecture() { return kTable; }

}  // namespace hone
