// A model in memory: what the tests of the stages read from and write to.
#pragma once

#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/check.h"
#include "kernels/codec/codec.h"
#include "libcommon/base/rng.h"
#include "libcommon/io/checkpoint.h"

namespace hone::test {

using Content = std::vector<std::byte>;

class MemoryReader final : public CheckpointReader {
 public:
  // random_access false: behaves as a pipe.
  MemoryReader(CheckpointHeader header, std::vector<Content> data, bool random_access)
      : data_(std::move(data)), random_access_(random_access) {
    header_ = std::move(header);
    subject_ = "memory";
  }
  bool next() override {
    position_ = 0;
    return ++index_ < static_cast<int64_t>(header_.tensors.size());
  }
  void read(std::span<std::byte> out) override {
    copy(index_, position_, out);
    position_ += static_cast<int64_t>(out.size());
    largest_read_ = std::max(largest_read_, out.size());
  }
  bool random_access() const override { return random_access_; }
  void read_at(int64_t tensor, int64_t offset, std::span<std::byte> out) override {
    CHECK(random_access_);
    copy(tensor, offset, out);
  }
  const std::byte* mapped(int64_t) const override { return nullptr; }
  size_t largest_read() const { return largest_read_; }

 private:
  void copy(int64_t tensor, int64_t offset, std::span<std::byte> out) const {
    const Content& bytes = data_[static_cast<size_t>(tensor)];
    CHECK(offset + static_cast<int64_t>(out.size()) <= static_cast<int64_t>(bytes.size()));
    if (!out.empty()) std::memcpy(out.data(), bytes.data() + offset, out.size());
  }
  std::vector<Content> data_;
  bool random_access_;
  int64_t position_ = 0;
  size_t largest_read_ = 0;
};

class MemoryWriter final : public CheckpointWriter {
 public:
  void begin(const CheckpointHeader& header) override { header_ = header; }
  void write(std::span<const std::byte> bytes) override {
    if (fail_after_ >= 0 && static_cast<int64_t>(all_.size()) >= fail_after_) {
      throw std::runtime_error("full");
    }
    all_.insert(all_.end(), bytes.begin(), bytes.end());
  }
  void finish(const Json& statistics) override {
    statistics_ = statistics;
    finished_ = true;
  }
  bool is_stream() const override { return true; }
  void fail_after(int64_t bytes) { fail_after_ = bytes; }

  const CheckpointHeader& header() const { return header_; }
  const Content& all() const { return all_; }
  const Json& statistics() const { return statistics_; }
  bool finished() const { return finished_; }

  const TensorInfo* find(const std::string& name) const {
    for (const TensorInfo& tensor : header_.tensors) {
      if (tensor.name == name) return &tensor;
    }
    return nullptr;
  }
  // Bytes of one tensor; the name must be there.
  Content content(const std::string& name) const {
    size_t at = 0;
    for (const TensorInfo& tensor : header_.tensors) {
      const auto size = static_cast<size_t>(tensor.bytes());
      CHECK(at + size <= all_.size());
      if (tensor.name == name) {
        return {all_.begin() + static_cast<int64_t>(at),
                all_.begin() + static_cast<int64_t>(at + size)};
      }
      at += size;
    }
    throw std::runtime_error("no tensor " + name);
  }
  std::vector<float> values(const std::string& name) const {
    const TensorInfo* tensor = find(name);
    CHECK(tensor != nullptr);
    std::vector<float> out(static_cast<size_t>(tensor->elements()));
    decode_row(tensor->type, content(name).data(), tensor->elements(), out.data());
    return out;
  }
  // The written model, to be read again.
  MemoryReader reader(bool random_access) const {
    std::vector<Content> data;
    for (const TensorInfo& tensor : header_.tensors) data.push_back(content(tensor.name));
    return MemoryReader(header_, data, random_access);
  }

 private:
  CheckpointHeader header_;
  Content all_;
  Json statistics_;
  bool finished_ = false;
  int64_t fail_after_ = -1;
};

// Tensors with normal random values in one type, and a config.json.
class ModelBuilder {
 public:
  explicit ModelBuilder(const std::string& config) { header_.files["config.json"] = config; }

  void add(const std::string& name, std::vector<int64_t> shape, DType type = DType::kF32) {
    const TensorInfo info{name, type, std::move(shape)};
    std::vector<float> values(static_cast<size_t>(info.elements()));
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(random_normal(7, header_.tensors.size(), i));
    }
    add_values(info, values);
  }
  void add_values(const TensorInfo& info, const std::vector<float>& values) {
    Content bytes(static_cast<size_t>(info.bytes()));
    encode_row(info.type, values.data(), info.elements(), bytes.data());
    header_.tensors.push_back(info);
    data_.push_back(bytes);
  }
  void add_bytes(const TensorInfo& info, Content bytes) {
    header_.tensors.push_back(info);
    data_.push_back(std::move(bytes));
  }
  Content content(const std::string& name) const {
    for (size_t t = 0; t < data_.size(); ++t) {
      if (header_.tensors[t].name == name) return data_[t];
    }
    throw std::runtime_error("no tensor " + name);
  }
  void set(const std::string& name, int64_t element, float value) {
    for (size_t t = 0; t < data_.size(); ++t) {
      if (header_.tensors[t].name != name) continue;
      const DType type = header_.tensors[t].type;
      encode_row(type, &value, 1, data_[t].data() + element * row_bytes(type, 1));
    }
  }
  std::vector<float> values(const std::string& name) const {
    for (size_t t = 0; t < data_.size(); ++t) {
      const TensorInfo& tensor = header_.tensors[t];
      if (tensor.name != name) continue;
      std::vector<float> out(static_cast<size_t>(tensor.elements()));
      decode_row(tensor.type, data_[t].data(), tensor.elements(), out.data());
      return out;
    }
    throw std::runtime_error("no tensor " + name);
  }
  const CheckpointHeader& header() const { return header_; }
  CheckpointHeader& header() { return header_; }
  MemoryReader reader(bool random_access = true) const {
    return MemoryReader(header_, data_, random_access);
  }

 private:
  CheckpointHeader header_;
  std::vector<Content> data_;
};

inline std::string llama_config() {
  return R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 48,
 "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
 "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 32, "rms_norm_eps": 1e-5,
 "hidden_act": "silu", "tie_word_embeddings": false, "torch_dtype": "float32"})";
}

inline ModelBuilder small_llama(DType type = DType::kF32) {
  ModelBuilder model(llama_config());
  model.add("model.embed_tokens.weight", {48, 64}, type);
  for (int layer = 0; layer < 3; ++layer) {
    const std::string at = "model.layers." + std::to_string(layer) + ".";
    model.add(at + "input_layernorm.weight", {64}, type);
    model.add(at + "self_attn.q_proj.weight", {64, 64}, type);
    model.add(at + "self_attn.k_proj.weight", {32, 64}, type);
    model.add(at + "self_attn.v_proj.weight", {32, 64}, type);
    model.add(at + "self_attn.o_proj.weight", {64, 64}, type);
    model.add(at + "post_attention_layernorm.weight", {64}, type);
    model.add(at + "mlp.gate_proj.weight", {96, 64}, type);
    model.add(at + "mlp.up_proj.weight", {96, 64}, type);
    model.add(at + "mlp.down_proj.weight", {64, 96}, type);
  }
  model.add("model.norm.weight", {64}, type);
  model.add("lm_head.weight", {48, 64}, type);
  return model;
}

// GPT-2: Conv1D matrices, [in, out].
inline ModelBuilder small_gpt2(DType type = DType::kF32) {
  ModelBuilder model(R"({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"],
 "vocab_size": 48, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 16, "n_inner": 64})");
  model.add("transformer.wte.weight", {48, 32}, type);
  model.add("transformer.wpe.weight", {16, 32}, type);
  for (int layer = 0; layer < 2; ++layer) {
    const std::string at = "transformer.h." + std::to_string(layer) + ".";
    for (const char* norm : {"ln_1", "ln_2"}) {
      model.add(at + norm + ".weight", {32}, type);
      model.add(at + norm + ".bias", {32}, type);
      if (std::string(norm) == "ln_2") break;
      model.add(at + "attn.c_attn.weight", {32, 96}, type);
      model.add(at + "attn.c_attn.bias", {96}, type);
      model.add(at + "attn.c_proj.weight", {32, 32}, type);
      model.add(at + "attn.c_proj.bias", {32}, type);
    }
    model.add(at + "mlp.c_fc.weight", {32, 64}, type);
    model.add(at + "mlp.c_fc.bias", {64}, type);
    model.add(at + "mlp.c_proj.weight", {64, 32}, type);
    model.add(at + "mlp.c_proj.bias", {32}, type);
  }
  model.add("transformer.ln_f.weight", {32}, type);
  model.add("transformer.ln_f.bias", {32}, type);
  return model;
}

}  // namespace hone::test
