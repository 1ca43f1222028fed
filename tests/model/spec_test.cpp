// Architectures from config.json: every tiny model, and what must be refused by name.
#include <algorithm>
#include <cmath>
#include <string>

#include "libcommon/model/config.h"
#include "libcommon/model/model_io.h"
#include "libcommon/model/spec.h"
#include "tests/model/memory_checkpoint.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

using testing::contains;
using testing::error_of;

std::string tiny(const std::string& name) { return HONE_TESTDATA "/tiny-" + name; }

ModelSpec spec_of(const std::string& name) {
  const auto reader = open_model(tiny(name));
  return spec_from_checkpoint(reader->header(), reader->subject());
}

const char* const kTiny[] = {"llama",      "llama-bf16", "llama-dynamic", "llama-linear",
                             "llama-yarn", "llama3",     "mistral",       "qwen2",
                             "qwen3",      "gpt2",       "gpt2-noprefix", "bloom"};

constexpr char kLlama[] = R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama",
  "vocab_size": 96, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
  "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5})";

Json llama_with(const std::string& key, const Json& value) {
  Json config = parse_json(kLlama, "test");
  config[key] = value;
  return config;
}

std::string refusal(const Json& config) {
  return error_of([&] { spec_from_config(config, {}, "model"); });
}

TEST_CASE("every tiny model is described and complete") {
  for (const char* name : kTiny) {
    CAPTURE(std::string(name));
    const ModelSpec spec = spec_of(name);
    CHECK_FALSE(spec.layers.empty());
    CHECK(spec.tensors.front().role == Role::kEmbedding);
    CHECK(std::any_of(spec.tensors.begin(), spec.tensors.end(),
                      [](const TensorSpec& tensor) { return tensor.role == Role::kFinalNorm; }));
  }
}

TEST_CASE("properties follow the family") {
  const ModelSpec mistral = spec_of("mistral");
  CHECK(mistral.layers[0].attention.window > 0);
  const ModelSpec qwen2 = spec_of("qwen2");
  CHECK(qwen2.layers[0].attention.qkv_bias);
  CHECK_FALSE(qwen2.layers[0].attention.output_bias);
  const ModelSpec qwen3 = spec_of("qwen3");
  CHECK(qwen3.layers[0].attention.qk_norm);
  const ModelSpec gpt2 = spec_of("gpt2");
  CHECK(gpt2.positions == PositionKind::kLearned);
  CHECK(gpt2.norm.kind == NormKind::kLayer);
  CHECK(gpt2.norm.bias);
  CHECK_FALSE(gpt2.layers[0].ffn.gated);
  CHECK(gpt2.layers[0].ffn.activation == Activation::kGeluTanh);
  CHECK(gpt2.tied);
  CHECK(gpt2.find("transformer.h.0.attn.c_attn.weight")->layout == StoredLayout::kInOut);
  CHECK(spec_of("gpt2-noprefix").find("h.0.attn.c_attn.weight") != nullptr);
  const ModelSpec bloom = spec_of("bloom");
  CHECK(bloom.positions == PositionKind::kAlibi);
  CHECK(bloom.embedding_norm);
  CHECK(spec_of("llama-yarn").rope.scaling == RopeScaling::kYarn);
  CHECK(spec_of("llama3").rope.scaling == RopeScaling::kLlama3);
}

TEST_CASE("defaults of a bare Llama") {
  const ModelSpec spec = spec_from_config(parse_json(kLlama, "test"), {}, "model");
  CHECK(spec.context == 2048);
  CHECK(spec.layers.size() == 2);
  CHECK(spec.layers[1].attention.head_dim == 8);
  CHECK(spec.layers[1].attention.scale == doctest::Approx(1 / std::sqrt(8.0)));
  CHECK(spec.rope.theta == 10000.0);
  CHECK_FALSE(spec.tied);
  CHECK(spec.tensors.size() == 1 + 2 * 9 + 2);
  CHECK(spec.tensors.back().name == "lm_head.weight");
  CHECK(spec.find("model.layers.1.self_attn.k_proj.weight")->shape == std::vector<int64_t>{16, 32});
}

TEST_CASE("tensors come in execution order, block by block") {
  const ModelSpec spec = spec_from_config(parse_json(kLlama, "test"), {}, "model");
  int64_t layer = -1;
  for (const TensorSpec& tensor : spec.tensors) {
    if (tensor.layer < 0) continue;
    CHECK(tensor.layer >= layer);
    layer = tensor.layer;
  }
  CHECK(spec.tensors[1].role == Role::kAttentionNorm);
  CHECK(spec.tensors[9].role == Role::kDown);
}

TEST_CASE("biases, windows and layer types of the config") {
  const ModelSpec biased = spec_from_config(llama_with("attention_bias", true), {}, "model");
  CHECK(biased.find("model.layers.0.self_attn.o_proj.bias") != nullptr);
  CHECK(biased.find("model.layers.0.mlp.up_proj.bias") == nullptr);
  const ModelSpec mlp = spec_from_config(llama_with("mlp_bias", true), {}, "model");
  CHECK(mlp.find("model.layers.1.mlp.down_proj.bias")->shape == std::vector<int64_t>{32});

  Json qwen = parse_json(kLlama, "test");
  qwen["model_type"] = "qwen2";
  qwen["architectures"] = {"Qwen2ForCausalLM"};
  qwen["use_sliding_window"] = true;
  qwen["sliding_window"] = 16;
  qwen["max_window_layers"] = 1;
  ModelSpec spec = spec_from_config(qwen, {}, "model");
  CHECK(spec.layers[0].attention.window == 0);
  CHECK(spec.layers[1].attention.window == 16);
  qwen["layer_types"] = {"sliding_attention", "full_attention"};
  spec = spec_from_config(qwen, {}, "model");
  CHECK(spec.layers[0].attention.window == 16);
  CHECK(spec.layers[1].attention.window == 0);
  qwen["use_sliding_window"] = false;
  CHECK(contains(refusal(qwen), "sliding_attention without sliding_window"));
}

TEST_CASE("Mistral: a missing window is 4096, null is none") {
  Json mistral = parse_json(kLlama, "test");
  mistral["model_type"] = "mistral";
  mistral["architectures"] = {"MistralForCausalLM"};
  CHECK(spec_from_config(mistral, {}, "m").layers[0].attention.window == 4096);
  mistral["sliding_window"] = nullptr;
  CHECK(spec_from_config(mistral, {}, "m").layers[0].attention.window == 0);
  mistral["sliding_window"] = 100;
  CHECK(spec_from_config(mistral, {}, "m").layers[1].attention.window == 100);
}

TEST_CASE("GPT-2's scores may shrink by layer") {
  Json gpt2 = {{"model_type", "gpt2"}, {"n_embd", 32}, {"n_head", 4}, {"n_layer", 2}};
  gpt2["scale_attn_by_inverse_layer_idx"] = true;
  const ModelSpec spec = spec_from_config(gpt2, {}, "model");
  CHECK(spec.layers[1].attention.scale == doctest::Approx(spec.layers[0].attention.scale / 2));
  gpt2["scale_attn_weights"] = false;
  CHECK(spec_from_config(gpt2, {}, "model").layers[0].attention.scale == 1.0);
  CHECK(spec.layers[0].ffn.dim == 128);
  CHECK(spec.context == 1024);
}

TEST_CASE("what is not implemented is refused by name") {
  const auto refused = [](const std::string& key, const Json& value, const std::string& words) {
    const std::string text = refusal(llama_with(key, value));
    CAPTURE(key);
    CAPTURE(text);
    CHECK(contains(text, "model: config.json"));
    CHECK(contains(text, words));
  };
  refused("model_type", "gemma3", "model_type 'gemma3' is not implemented; known: llama, mistral");
  refused("architectures", {"LlamaForSequenceClassification"}, "LlamaForSequenceClassification");
  refused("hidden_act", "relu2", "hidden_act 'relu2' is not implemented; known: silu");
  refused("final_logit_softcapping", 30.0, "final_logit_softcapping 30.0");
  refused("partial_rotary_factor", 0.5, "partial_rotary_factor 0.5");
  refused("num_local_experts", 8, "num_local_experts 8");
  refused("is_encoder_decoder", true, "is_encoder_decoder true");
  refused("layer_types", {"full_attention"}, "layer_types must list 2 layers");
  refused("layer_types", {"full_attention", "chunked_attention"}, "chunked_attention");
  refused("vocab_size", nullptr, "'vocab_size' is missing");
  refused("hidden_size", -3, "'hidden_size' is -3, must be an integer from 1");
  refused("hidden_size", 32.5, "'hidden_size' is 32.5");
  refused("hidden_size", "32", "'hidden_size' is \"32\"");
  refused("hidden_size", uint64_t{1} << 63, "'hidden_size' is 9223372036854775808");
  refused("hidden_size", 30, "'hidden_size' 30 is not a multiple of 'num_attention_heads' 4");
  refused("num_key_value_heads", 3, "not a multiple of num_key_value_heads 3");
  refused("num_hidden_layers", 1000000000, "at most 10000");
  refused("attention_bias", "no", "must be true or false");
  refused("rms_norm_eps", "tiny", "must be a number");
  refused("rope_scaling", {{"rope_type", "su"}}, "'su'");
  refused("rope_scaling", {{"rope_type", 3}}, "'rope_type' is 3, must be a string");
  Json bloom = {{"model_type", "bloom"}, {"vocab_size", 96},
                {"hidden_size", 32},     {"n_layer", 1},
                {"n_head", 4},           {"apply_residual_connection_post_layernorm", true}};
  CHECK(contains(refusal(bloom), "apply_residual_connection_post_layernorm true"));
  bloom["apply_residual_connection_post_layernorm"] = false;
  bloom["slow_but_exact"] = true;
  CHECK(contains(refusal(bloom), "slow_but_exact true"));
  CHECK(contains(refusal(Json::array()), "is not a JSON object"));
  CHECK(contains(refusal(Json::object()), "model_type"));
}

CheckpointHeader bare_header() {
  CheckpointHeader header;
  header.files["config.json"] = kLlama;
  for (const TensorSpec& tensor : spec_from_config(parse_json(kLlama, "t"), {}, "t").tensors) {
    header.tensors.push_back({tensor.name, DType::kF32, tensor.shape});
  }
  return header;
}

TEST_CASE("a checkpoint must hold what its config promises") {
  const auto refused = [](const CheckpointHeader& header) {
    return error_of([&] { spec_from_checkpoint(header, "model"); });
  };
  CHECK(refused(bare_header()).empty());
  CheckpointHeader header = bare_header();
  header.tensors.erase(header.tensors.begin() + 3);
  CHECK(contains(refused(header), "'model.layers.0.self_attn.k_proj.weight' is missing"));
  header = bare_header();
  header.tensors[2].shape = {32, 31};
  CHECK(contains(refused(header), "has shape [32, 31], config.json makes it [32, 32]"));
  header = bare_header();
  header.tensors.push_back({"model.vision.weight", DType::kF32, {4}});
  CHECK(contains(refused(header), "'model.vision.weight' is unknown to model_type 'llama'"));
  header.tensors.back() = {"model.vision.weight", DType::kF32, {0, 5}};
  CHECK(contains(refused(header), "'model.vision.weight' is unknown to model_type 'llama'"));
  header = bare_header();
  header.tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", DType::kF32, {4}});
  CHECK(refused(header).empty());
  header = bare_header();
  header.files.clear();
  CHECK(contains(refused(header), "has no config.json"));
}

TEST_CASE("tied heads: by config.json, by alias, under the head's own name") {
  CheckpointHeader header = bare_header();
  CHECK_FALSE(spec_from_checkpoint(header, "m").tied);
  header.tensors.pop_back();
  CHECK(contains(error_of([&] { spec_from_checkpoint(header, "m"); }),
                 "'lm_head.weight' is missing, and tie_word_embeddings is not true"));
  header.aliases["lm_head.weight"] = "model.embed_tokens.weight";
  CHECK(spec_from_checkpoint(header, "m").tied);
  header.aliases.clear();
  header.files["config.json"].insert(1, "\"tie_word_embeddings\": true, ");
  CHECK(spec_from_checkpoint(header, "m").tied);

  header = bare_header();
  header.tensors.erase(header.tensors.begin());  // only lm_head.weight
  CHECK(contains(error_of([&] { spec_from_checkpoint(header, "m"); }),
                 "'model.embed_tokens.weight' is missing"));
  header.aliases["model.embed_tokens.weight"] = "lm_head.weight";
  const ModelSpec spec = spec_from_checkpoint(header, "m");
  CHECK(spec.tied);
  CHECK(spec.tensors.front().name == "lm_head.weight");
  CHECK(spec.tensors.front().role == Role::kEmbedding);
}

}  // namespace
}  // namespace hone
