// config.json of the shapes that random: knows, as published but for what no computation reads.
#include "libcommon/model/random_shapes.h"

#include <array>

namespace hone {
namespace {

constexpr auto kShapes = std::to_array<RandomShape>({
    {"gpt2", R"({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": 50257,
"n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "n_ctx": 1024,
"activation_function": "gelu_new", "layer_norm_epsilon": 1e-05, "tie_word_embeddings": true,
"bos_token_id": 50256, "eos_token_id": 50256})"},
    {"bloom-560m", R"({"architectures": ["BloomForCausalLM"], "model_type": "bloom",
"vocab_size": 250880, "hidden_size": 1024, "n_layer": 24, "n_head": 16, "seq_length": 2048,
"layer_norm_epsilon": 1e-05, "apply_residual_connection_post_layernorm": false,
"tie_word_embeddings": true, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3})"},
    {"qwen3-0.6b", R"({"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3",
"vocab_size": 151936, "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28,
"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "hidden_act": "silu",
"max_position_embeddings": 40960, "rms_norm_eps": 1e-06, "rope_theta": 1000000, "rope_scaling": null,
"attention_bias": false, "use_sliding_window": false, "tie_word_embeddings": true,
"bos_token_id": 151643, "eos_token_id": 151645})"},
    {"tinyllama-1.1b", R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama",
"vocab_size": 32000, "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22,
"num_attention_heads": 32, "num_key_value_heads": 4, "hidden_act": "silu",
"max_position_embeddings": 2048, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
"rope_scaling": null, "attention_bias": false, "tie_word_embeddings": false,
"bos_token_id": 1, "eos_token_id": 2})"},
    {"llama-3.2-1b", R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama",
"vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "hidden_act": "silu",
"max_position_embeddings": 131072, "rms_norm_eps": 1e-05, "rope_theta": 500000.0,
"rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
"original_max_position_embeddings": 8192, "rope_type": "llama3"}, "attention_bias": false,
"mlp_bias": false, "tie_word_embeddings": true, "bos_token_id": 128000, "eos_token_id": 128001})"},
    {"llama-3.1-8b", R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama",
"vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
"num_attention_heads": 32, "num_key_value_heads": 8, "hidden_act": "silu",
"max_position_embeddings": 131072, "rms_norm_eps": 1e-05, "rope_theta": 500000.0,
"rope_scaling": {"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
"original_max_position_embeddings": 8192, "rope_type": "llama3"}, "attention_bias": false,
"mlp_bias": false, "tie_word_embeddings": false, "bos_token_id": 128000, "eos_token_id": 128001})"},
});

}  // namespace

std::span<const RandomShape> random_shape_table() { return kShapes; }

}  // namespace hone
