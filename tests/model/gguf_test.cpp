// GGUF as a model: out and back without a changed bit, and a file that llama.cpp's tools made.
#include <cstdlib>

#include "kernels/codec/codec.h"
#include "libcommon/io/gguf.h"
#include "libcommon/model/gguf_source.h"
#include "libcommon/model/model_io.h"
#include "libcommon/model/ordered_reader.h"
#include "libcommon/model/spec.h"
#include "libcommon/text/tokenizer.h"
#include "tests/model/memory_checkpoint.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

using testing::Bytes;
using testing::contains;
using testing::error_of;
using testing::MemoryReader;

std::string tiny(const std::string& name) { return HONE_TESTDATA "/tiny-" + name; }

// GGUF knows no prefix: names come back as transformers writes them today.
std::string plain_name(const std::string& name) {
  constexpr std::string_view kPrefix = "transformer.";
  return name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
}

// Tensors by name as f32 values, whatever the stored type.
std::map<std::string, std::vector<float>> values_of(CheckpointReader& reader) {
  std::map<std::string, std::vector<float>> values;
  while (reader.next()) {
    const TensorInfo& tensor = reader.current();
    const Bytes bytes = testing::read_current(reader, 777);
    std::vector<float>& out = values[plain_name(tensor.name)];
    out.resize(static_cast<size_t>(tensor.elements()));
    decode_row(tensor.type, bytes.data(), tensor.elements(), out.data());
  }
  return values;
}

std::map<std::string, std::vector<int64_t>> shapes_of(const CheckpointHeader& header) {
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const TensorInfo& tensor : header.tensors) shapes[plain_name(tensor.name)] = tensor.shape;
  return shapes;
}

void write_gguf(const std::string& from, const std::string& to) {
  const auto reader = open_model(from);
  const auto writer = create_model(to, {});
  testing::copy_model(*reader, *writer);
}

TEST_CASE("every tiny model survives GGUF: shapes, values, the spec's numbers") {
  testing::TemporaryDirectory directory;
  for (const char* name : {"llama", "llama-bf16", "llama-linear", "llama-yarn", "llama3", "mistral",
                           "qwen2", "qwen3", "gpt2", "bloom"}) {
    CAPTURE(std::string(name));
    const std::string path = directory / (std::string(name) + ".gguf");
    const auto original = open_model(tiny(name));
    const ModelSpec before = spec_from_checkpoint(original->header(), "before");
    if (before.layers[0].attention.window > 0 && before.architecture == "qwen2") continue;
    write_gguf(tiny(name), path);
    const auto copy = open_model(path);
    const ModelSpec after = spec_from_checkpoint(copy->header(), "after");
    CHECK(after.architecture == before.architecture);
    CHECK(after.tied == before.tied);
    CHECK(after.context == before.context);
    CHECK(after.norm.eps == before.norm.eps);
    CHECK(after.layers[0].attention.head_dim == before.layers[0].attention.head_dim);
    CHECK(after.layers[0].attention.window == before.layers[0].attention.window);
    CHECK(after.rope.attention_factor == doctest::Approx(before.rope.attention_factor));
    if (before.positions == PositionKind::kRope) {
      const auto expected = rope_frequencies(before.rope, 64, before.context);
      const auto found = rope_frequencies(after.rope, 64, after.context);
      for (size_t i = 0; i < expected.size(); ++i) {
        CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-5));
      }
    }
    CHECK(shapes_of(copy->header()) == shapes_of(original->header()));
    CHECK(values_of(*copy) == values_of(*original));
  }
}

TEST_CASE("rows are delivered in any portion, lazily") {
  testing::TemporaryDirectory directory;
  for (const char* name : {"llama", "gpt2", "bloom"}) {
    CAPTURE(std::string(name));
    const std::string path = directory / (std::string(name) + ".gguf");
    write_gguf(tiny(name), path);
    const auto reader = open_model(path);
    REQUIRE(reader->random_access());
    while (reader->next()) {
      const Bytes whole = testing::read_current(*reader, 1 << 20);
      for (const size_t size : {size_t{1}, size_t{3}, size_t{100}, whole.size() / 2}) {
        const size_t offset = (whole.size() - size) / 3;
        Bytes part(size);
        reader->read_at(reader->current_index(), static_cast<int64_t>(offset), part);
        CHECK(std::equal(part.begin(), part.end(), whole.begin() + static_cast<long>(offset)));
      }
    }
  }
}

// The raw GGUF as a pipe, which keeps the keys.
class PipedGguf : public GgufReader {
 public:
  explicit PipedGguf(const std::string& path) {
    auto file = open_gguf(path);
    keys_ = file->keys();
    inner_ = testing::in_memory(*file, MemoryReader::kPipe);
    header_ = inner_->header();
    subject_ = "(pipe)";
  }
  const GgufKeys& keys() const override { return keys_; }
  bool next() override {
    const bool more = inner_->next();
    index_ = inner_->current_index();
    return more;
  }
  void read(std::span<std::byte> out) override { inner_->read(out); }
  bool random_access() const override { return false; }
  void read_at(int64_t, int64_t, std::span<std::byte>) override { throw Error("pipe"); }
  const std::byte* mapped(int64_t) const override { return nullptr; }

 private:
  GgufKeys keys_;
  std::unique_ptr<MemoryReader> inner_;
};

TEST_CASE("a GGUF pipe gives what the file gives") {
  testing::TemporaryDirectory directory;
  for (const char* name : {"llama", "llama3", "gpt2", "bloom"}) {
    CAPTURE(std::string(name));
    const std::string path = directory / (std::string(name) + ".gguf");
    write_gguf(tiny(name), path);
    const auto file = open_model(path);
    const auto pipe = in_execution_order(open_gguf_model(std::make_unique<PipedGguf>(path)));
    CHECK(pipe->header().tensors == file->header().tensors);
    CHECK(pipe->header().files == file->header().files);
    CHECK(testing::read_all(*pipe) == testing::read_all(*file));
  }
}

TEST_CASE("a head that differs from the embedding is kept") {
  testing::TemporaryDirectory directory;
  const std::string path = directory / "gpt2.gguf";
  write_gguf(tiny("gpt2"), path);
  auto raw = open_gguf(path);
  const GgufKeys keys = raw->keys();
  const CheckpointHeader header = raw->header();
  std::vector<Bytes> data = testing::read_all(*raw);
  raw.reset();
  size_t head = 0;
  while (header.tensors[head].name != "output.weight") ++head;
  data[head][0] ^= std::byte{1};
  const auto writer = create_gguf(path, keys, {});
  writer->begin(header);
  for (const Bytes& bytes : data) writer->write(bytes);
  writer->finish(Json::object());
  const auto reader = open_model(path);
  CHECK_FALSE(spec_from_checkpoint(reader->header(), "m").tied);
}

TEST_CASE("what GGUF cannot hold is refused with advice") {
  testing::TemporaryDirectory directory;
  const auto refused = [&](CheckpointHeader header, const char* words) {
    const auto writer = create_model(directory / "x.gguf", {});
    const std::string text = error_of([&] { writer->begin(header); });
    CAPTURE(text);
    CHECK(contains(text, words));
  };
  const auto reader = open_model(tiny("llama"));
  CheckpointHeader header = reader->header();
  size_t q = 0;
  while (!header.tensors[q].name.ends_with("q_proj.weight")) ++q;
  Json config = parse_json(header.files["config.json"], "test");
  config["hidden_act"] = "gelu";
  header.files["config.json"] = config.dump();
  refused(header, "an activation other than silu has no form in GGUF");
  config["hidden_act"] = "silu";
  const auto dynamic = open_model(tiny("llama-dynamic"));
  refused(dynamic->header(), "rope_type 'dynamic' has no form in GGUF");
  config["quantization_config"] = parse_json(R"({"quant_method": "compressed-tensors",
    "format": "pack-quantized", "config_groups": {"g": {"targets": ["Linear"], "weights":
    {"num_bits": 4, "type": "int", "symmetric": true, "strategy": "group", "group_size": 8}}}})",
                                             "test");
  header = reader->header();
  header.files["config.json"] = config.dump();
  const TensorInfo weight = header.tensors[q];
  const std::string module = weight.name.substr(0, weight.name.size() - 6);
  const int64_t rows = weight.shape[0], columns = weight.shape[1];
  header.tensors[q] = {module + "weight_packed", DType::kI32, {rows, columns / 8}};
  header.tensors.push_back({module + "weight_scale", DType::kBF16, {rows, columns / 8}});
  header.tensors.push_back({module + "weight_shape", DType::kI64, {2}});
  refused(header, "is stored as int4 in groups of 8, which GGUF has not; use --scheme q4_0");
}

TEST_CASE("biases beside norms of q and k are refused: llama.cpp would not load the file") {
  testing::TemporaryDirectory directory;
  CheckpointHeader header = open_model(tiny("qwen3"))->header();
  Json config = parse_json(header.files["config.json"], "test");
  config["attention_bias"] = true;
  header.files["config.json"] = config.dump();
  for (size_t i = 0, count = header.tensors.size(); i < count; ++i) {
    TensorInfo bias = header.tensors[i];
    if (bias.name.find("self_attn") == std::string::npos || bias.shape.size() != 2) continue;
    bias.name.replace(bias.name.rfind("weight"), 6, "bias");
    bias.shape.pop_back();
    header.tensors.push_back(bias);
  }
  const auto writer = create_model(directory / "x.gguf", {});
  const std::string text = error_of([&] { writer->begin(header); });
  CAPTURE(text);
  CHECK(contains(text, "attention_bias of model_type qwen3 has no form in GGUF"));
}

TEST_CASE("foreign files are refused by name") {
  testing::TemporaryDirectory directory;
  const std::string path = directory / "llama.gguf";
  write_gguf(tiny("llama"), path);
  auto raw = open_gguf(path);
  const GgufKeys good = raw->keys();
  const CheckpointHeader header = raw->header();
  const std::vector<Bytes> data = testing::read_all(*raw);
  const auto opened_with = [&](GgufKeys keys) {
    const auto writer = create_gguf(directory / "changed.gguf", std::move(keys), {});
    writer->begin(header);
    for (const Bytes& bytes : data) writer->write(bytes);
    writer->finish(Json::object());
    return error_of([&] { open_model(directory / "changed.gguf"); });
  };
  CHECK(opened_with(good).empty());
  GgufKeys keys = good;
  keys.entries[0].second = std::string("falcon");
  CHECK(contains(opened_with(keys), "general.architecture 'falcon' is not implemented"));
  keys = good;
  keys.entries.emplace_back("llama.expert_count", uint32_t{8});
  CHECK(contains(opened_with(keys), "'llama.expert_count' is not implemented"));
  keys = good;
  std::erase_if(keys.entries, [](const auto& entry) { return entry.first == "llama.block_count"; });
  CHECK(contains(opened_with(keys), "num_hidden_layers"));
  keys = good;
  for (auto& [key, value] : keys.entries) {
    if (key == "llama.rope.dimension_count") value = uint32_t{2};
  }
  CHECK(contains(opened_with(keys), "'llama.rope.dimension_count' is 2 in heads of "));
  keys = good;
  for (auto& [key, value] : keys.entries) {
    if (key == "llama.attention.head_count") value = uint32_t{3};
  }
  CHECK_FALSE(opened_with(keys).empty());
}

TEST_CASE("stories260K: the GGUF file and its conversion are one model") {
  const char* shared = std::getenv("HONE_SHARED");
  if (!shared) {
    MESSAGE("skipped: HONE_SHARED is not set");
    return;
  }
  const std::string models = std::string(shared) + "/models/";
  const auto gguf = open_model(models + "stories260K/stories260K.gguf");
  const auto directory = open_model(models + "stories260K-hf-llama");
  CHECK(shapes_of(gguf->header()) == shapes_of(directory->header()));
  CHECK(values_of(*gguf) == values_of(*directory));
  const auto from_gguf = Tokenizer::from_files(gguf->header().files, "gguf");
  const auto from_json = Tokenizer::from_files(directory->header().files, "json");
  for (const char* text : {"Once upon a time, there was a", "Lily's mom said, \"No!\"\n\n  two",
                           "caf\xc3\xa9 \xe7\xa7\x92 123", "", " "}) {
    CAPTURE(text);
    CHECK(from_gguf->encode(text, true) == from_json->encode(text, true));
  }
  CHECK(from_gguf->bos() == from_json->bos());
  CHECK(from_gguf->eos() == from_json->eos());
}

}  // namespace
}  // namespace hone
