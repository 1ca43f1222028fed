// load_model: from maps and from pipes, fused and turned matrices, every quantized form.
#include <cstdlib>

#include "libcommon/model/model_io.h"
#include "libcommon/model/ordered_reader.h"
#include "libcommon/model/weight_memory.h"
#include "libcommon/model/weights.h"
#include "tests/model/quantized_model.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

using namespace testing;

std::string tiny(const std::string& name) { return HONE_TESTDATA "/tiny-" + name; }

std::vector<float> vector_values(const float* values, int64_t count) {
  return values ? std::vector<float>(values, values + count) : std::vector<float>();
}

// Everything that a graph can see of a model, decoded.
std::vector<std::vector<float>> contents(const LoadedModel& model) {
  const int64_t hidden = model.spec.hidden;
  std::vector<std::vector<float>> all = {dense_values(model.embedding),
                                         dense_values(model.position_embedding),
                                         dense_values(model.head),
                                         vector_values(model.embedding_norm, hidden),
                                         vector_values(model.embedding_norm_bias, hidden),
                                         vector_values(model.final_norm, hidden),
                                         vector_values(model.final_norm_bias, hidden)};
  for (size_t i = 0; i < model.layers.size(); ++i) {
    const LayerWeights& layer = model.layers[i];
    const int64_t dim = model.spec.layers[i].attention.head_dim;
    for (const WeightView* view :
         {&layer.q, &layer.k, &layer.v, &layer.output, &layer.gate, &layer.up, &layer.down}) {
      all.push_back(dense_values(*view));
    }
    all.push_back(vector_values(layer.attention_norm, hidden));
    all.push_back(vector_values(layer.attention_norm_bias, hidden));
    all.push_back(vector_values(layer.q_bias, layer.q.rows));
    all.push_back(vector_values(layer.k_bias, layer.k.rows));
    all.push_back(vector_values(layer.v_bias, layer.v.rows));
    all.push_back(vector_values(layer.output_bias, hidden));
    all.push_back(vector_values(layer.q_norm, dim));
    all.push_back(vector_values(layer.k_norm, dim));
    all.push_back(vector_values(layer.ffn_norm, hidden));
    all.push_back(vector_values(layer.ffn_norm_bias, hidden));
    all.push_back(vector_values(layer.up_bias, layer.up.rows));
    all.push_back(vector_values(layer.gate_bias, layer.gate.rows));
    all.push_back(vector_values(layer.down_bias, hidden));
  }
  return all;
}

std::unique_ptr<CheckpointReader> piped(const std::string& where) {
  return in_memory(*open_model(where), MemoryReader::kPipe);
}

TEST_CASE("a pipe loads what the file loads, for every family") {
  for (const char* name :
       {"llama", "llama-bf16", "mistral", "qwen2", "qwen3", "gpt2", "gpt2-noprefix", "bloom"}) {
    CAPTURE(std::string(name));
    const auto mapped = load_model(open_model(tiny(name)), {});
    const auto read = load_model(piped(tiny(name)), {});
    CHECK(contents(*mapped) == contents(*read));
    CHECK(read->resident_bytes > mapped->resident_bytes);
    CHECK(mapped->parameters == read->parameters);
    CHECK(mapped->stored_bytes == read->stored_bytes);
    CHECK(mapped->parameters > 0);
    CHECK(mapped->files.count("config.json") == 1);
  }
}

TEST_CASE("a copy is what the map holds, whoever reads it") {
  for (const char* name : {"llama", "gpt2", "bloom"}) {
    CAPTURE(std::string(name));
    const auto mapped = load_model(open_model(tiny(name)), {.mode = LoadMode::kMap});
    CHECK(mapped->mapped_bytes > 0);
    for (const int threads : {1, 3}) {
      const auto copied =
          load_model(open_model(tiny(name)), {.mode = LoadMode::kCopy, .threads = threads});
      CHECK(contents(*copied) == contents(*mapped));
      CHECK(copied->mapped_bytes == 0);
      CHECK(copied->resident_bytes == mapped->resident_bytes + mapped->mapped_bytes);
    }
  }
}

TEST_CASE("random weights are the same for any number of threads") {
  const std::string where = "random:" + tiny("llama") + "/config.json";
  const auto one = load_model(open_model(where), {.threads = 1});
  CHECK(contents(*load_model(open_model(where), {.threads = 3})) == contents(*one));
}

TEST_CASE("weights lie one after the other where they fill huge pages") {
  for (const int64_t total : {int64_t{1} << 10, int64_t{16} << 20}) {
    WeightMemory memory;
    memory.reserve(total, "model");
    std::byte* const first = memory.take(1);
    std::byte* const second = memory.take(total - 64);
    for (const std::byte* place : {first, second}) {
      CHECK(reinterpret_cast<uintptr_t>(place) % 64 == 0);
    }
    first[0] = second[total - 65] = std::byte{1};
    if (total >= int64_t{16} << 20) CHECK(second == first + 64);
  }
  WeightMemory memory;
  CHECK(contains(error_of([&] { memory.reserve(int64_t{1} << 60, "model"); }),
                 "model: no memory for"));
}

TEST_CASE("a mapped Llama stays where it lies") {
  const auto model = load_model(open_model(tiny("llama")), {});
  const int64_t norms = model->spec.hidden * (1 + 2 * static_cast<int64_t>(model->layers.size()));
  CHECK(model->resident_bytes == norms * 4);
}

TEST_CASE("GPT-2: q, k, v are columns of c_attn") {
  const auto reader = open_model(tiny("gpt2"));
  const auto model = load_model(open_model(tiny("gpt2")), {});
  while (reader->next()) {
    if (!reader->current().name.ends_with("h.1.attn.c_attn.weight")) continue;
    const TensorInfo info = reader->current();
    const Bytes bytes = read_current(*reader);
    std::vector<float> stored(static_cast<size_t>(info.elements()));
    decode_row(info.type, bytes.data(), info.elements(), stored.data());
    const LayerWeights& layer = model->layers[1];
    const int64_t hidden = model->spec.hidden;
    const WeightView* views[] = {&layer.q, &layer.k, &layer.v};
    for (int64_t part = 0; part < 3; ++part) {
      const std::vector<float> values = dense_values(*views[part]);
      for (int64_t r = 0; r < hidden; ++r) {
        for (int64_t c = 0; c < hidden; ++c) {
          REQUIRE(values[static_cast<size_t>(r * hidden + c)] ==
                  stored[static_cast<size_t>(c * 3 * hidden + part * hidden + r)]);
        }
      }
    }
    return;
  }
  FAIL("no c_attn");
}

TEST_CASE("BLOOM: q, k, v alternate by head") {
  const auto reader = open_model(tiny("bloom"));
  const auto model = load_model(open_model(tiny("bloom")), {});
  const int64_t hidden = model->spec.hidden;
  const int64_t dim = model->spec.layers[0].attention.head_dim;
  int seen = 0;
  while (reader->next()) {
    const TensorInfo info = reader->current();
    if (info.name.find("h.1.self_attention.query_key_value") == std::string::npos) continue;
    const Bytes bytes = read_current(*reader);
    std::vector<float> stored(static_cast<size_t>(info.elements()));
    decode_row(info.type, bytes.data(), info.elements(), stored.data());
    const LayerWeights& layer = model->layers[1];
    const bool bias = info.shape.size() == 1;
    const std::vector<float> k = bias ? vector_values(layer.k_bias, hidden) : dense_values(layer.k);
    const int64_t width = bias ? 1 : hidden;
    for (int64_t r = 0; r < hidden; ++r) {
      const int64_t from = r / dim * 3 * dim + dim + r % dim;  // the second of three
      for (int64_t c = 0; c < width; ++c) {
        REQUIRE(k[static_cast<size_t>(r * width + c)] ==
                stored[static_cast<size_t>(from * width + c)]);
      }
    }
    ++seen;
  }
  CHECK(seen == 2);
}

const QuantizedForm kForms[] = {
    {.bits = 4},
    {.bits = 4, .symmetric = false},
    {.bits = 4, .group = 0},
    {.bits = 3, .symmetric = false, .group = 8},
    {.bits = 8, .packed = false, .group = 0, .quantize_input = true},
    {.bits = 8, .packed = false, .group = -1},
    {.bits = 8, .packed = false, .is_float = true, .group = 0, .quantize_input = true},
    {.bits = 8, .packed = false, .is_float = true, .group = -1},
    {.bits = 4, .sparse = true},
    {.bits = 4, .symmetric = false, .sparse = true},
    {.bits = 8, .packed = false, .group = 0, .sparse = true},
};

TEST_CASE("every quantized form is read, mapped and piped") {
  for (const QuantizedForm& form : kForms) {
    for (const auto kind : {MemoryReader::kPipe, MemoryReader::kFile}) {
      CAPTURE(form.bits);
      CAPTURE(form.group);
      CAPTURE(form.sparse);
      std::vector<float> values;
      const auto base = open_model(tiny("llama"));
      const ModelSpec spec = spec_from_checkpoint(base->header(), "base");
      const TensorSpec* down = nullptr;
      for (const TensorSpec& tensor : spec.tensors) {
        if (tensor.role == Role::kDown && tensor.layer == 1) down = &tensor;
      }
      const auto model =
          load_model(quantize_module(*base, down->name.substr(0, down->name.size() - 7),
                                     {down->shape[0], down->shape[1]}, form, kind, values),
                     {});
      CHECK(dense_values(model->layers[1].down) == values);
      CHECK(model->layers[1].down.quantize_input == form.quantize_input);
    }
  }
}

// Fused matrices in parts: [out, in] in GPT-2 too, and BLOOM's rows are put apart in every part.
TEST_CASE("quantized fused matrices are cut into q, k, v") {
  for (const bool bloom : {true, false}) {
    for (const QuantizedForm& form : kForms) {
      CAPTURE(bloom);
      CAPTURE(form.bits);
      CAPTURE(form.sparse);
      const auto base = open_model(tiny(bloom ? "bloom" : "gpt2"));
      const ModelSpec spec = spec_from_checkpoint(base->header(), "base");
      const TensorSpec* fused = nullptr;
      for (const TensorSpec& tensor : spec.tensors) {
        if (tensor.role == Role::kQkv && !tensor.bias && tensor.layer == 0) fused = &tensor;
      }
      const int64_t hidden = spec.hidden;
      const int64_t dim = spec.layers[0].attention.head_dim;
      std::vector<float> values;
      const auto model =
          load_model(quantize_module(*base, fused->name.substr(0, fused->name.size() - 7),
                                     {3 * hidden, hidden}, form, MemoryReader::kFile, values),
                     {});
      const std::vector<float> v = dense_values(model->layers[0].v);
      bool same = true;
      for (int64_t r = 0; r < hidden; ++r) {
        const int64_t from = bloom ? r / dim * 3 * dim + 2 * dim + r % dim : 2 * hidden + r;
        for (int64_t c = 0; c < hidden; ++c) {
          same &= v[static_cast<size_t>(r * hidden + c)] ==
                  values[static_cast<size_t>(from * hidden + c)];
        }
      }
      CHECK(same);
    }
  }
}

TEST_CASE("weight_shape must say what the weights are") {
  std::vector<float> values;
  const auto base = open_model(tiny("llama"));
  const auto good =
      quantize_module(*base, "model.layers.0.mlp.up_proj", {base->header().tensors[7].shape[0], 32},
                      {}, MemoryReader::kFile, values);
  CheckpointHeader header = good->header();
  std::vector<Bytes> data = read_all(*good);
  for (size_t i = 0; i < data.size(); ++i) {
    if (header.tensors[i].name.ends_with("weight_shape")) data[i][0] ^= std::byte{1};
  }
  const std::string text = error_of(
      [&] { load_model(std::make_unique<MemoryReader>(header, data, MemoryReader::kPipe), {}); });
  CAPTURE(text);
  CHECK(contains(text, "weight_shape' says"));
}

TEST_CASE("max_memory is enforced before anything is read") {
  try {
    load_model(piped(tiny("llama")), {.max_memory = 1000});
    FAIL("loaded");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::kResource);
    CHECK(contains(error.what(), "--max-memory allows 1.00 kB"));
  }
  CHECK(load_model(open_model(tiny("llama")), {.max_memory = 5000}) != nullptr);
}

std::unique_ptr<MemoryReader> backwards(const std::string& where) {
  const auto reader = open_model(where);
  CheckpointHeader header = reader->header();
  std::vector<Bytes> data = read_all(*reader);
  std::reverse(header.tensors.begin(), header.tensors.end());
  std::reverse(data.begin(), data.end());
  header.tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", DType::kF32, {2}});
  data.push_back(Bytes(8));
  return std::make_unique<MemoryReader>(header, data, MemoryReader::kPipe);
}

TEST_CASE("a pipe in another order is spooled and comes out in execution order") {
  const auto reference = open_model(tiny("llama"));
  const auto reader = in_execution_order(backwards(tiny("llama")));
  CHECK(reader->header().tensors == reference->header().tensors);
  CHECK(reader->random_access());
  CHECK(reader->mapped(0) != nullptr);
  CHECK(read_all(*reader) == read_all(*reference));
}

TEST_CASE("a pipe in order is not spooled, buffers are left out") {
  const auto reference = open_model(tiny("llama"));
  const auto whole = open_model(tiny("llama"));
  CheckpointHeader header = whole->header();
  std::vector<Bytes> data = read_all(*whole);
  header.tensors.insert(header.tensors.begin() + 4,
                        {"model.layers.0.self_attn.rotary_emb.inv_freq", DType::kF32, {2}});
  data.insert(data.begin() + 4, Bytes(8));
  const auto reader =
      in_execution_order(std::make_unique<MemoryReader>(header, data, MemoryReader::kPipe));
  CHECK_FALSE(reader->random_access());
  CHECK(reader->header().tensors == reference->header().tensors);
  CHECK(read_all(*reader) == read_all(*reference));
}

TEST_CASE("nowhere to spool: exit 4, and why") {
  ::setenv("HONE_TMPDIR", "/nonexistent-directory", 1);
  try {
    in_execution_order(backwards(tiny("llama")));
    FAIL("spooled");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::kResource);
    CHECK(contains(error.what(), "/nonexistent-directory"));
  }
  ::unsetenv("HONE_TMPDIR");
}

TEST_CASE("a truncated pipe is an error, whatever the header promised") {
  const auto reader = open_model(tiny("llama"));
  CheckpointHeader header = reader->header();
  std::vector<Bytes> data = read_all(*reader);
  data.back().resize(data.back().size() / 2);
  CHECK_FALSE(error_of([&] {
                load_model(std::make_unique<MemoryReader>(header, data, MemoryReader::kPipe), {});
              }).empty());
}

}  // namespace
}  // namespace hone
