// How parts become matrices, how config.json's scheme is found, and what writers make of both.
#include "libcommon/model/model_io.h"
#include "libcommon/model/quantization_config.h"
#include "libcommon/model/weights.h"
#include "tests/model/quantized_model.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

using namespace testing;

constexpr char kModule[] = "model.layers.0.mlp.down_proj";
constexpr char kLlama[] = HONE_TESTDATA "/tiny-llama";

struct Stored {
  CheckpointHeader header;
  std::vector<Bytes> data;
  std::vector<float> values;
};

std::pair<int64_t, int64_t> module_shape() {
  const auto base = open_model(kLlama);
  for (const TensorInfo& tensor : base->header().tensors) {
    if (tensor.name == std::string(kModule) + ".weight") return {tensor.shape[0], tensor.shape[1]};
  }
  return {};
}

Stored stored(const QuantizedForm& form) {
  Stored result;
  const auto base = open_model(kLlama);
  const auto reader =
      quantize_module(*base, kModule, module_shape(), form, MemoryReader::kPipe, result.values);
  result.header = reader->header();
  result.data = read_all(*reader);
  return result;
}

StoredWeight find(const CheckpointHeader& header) {
  for (const StoredWeight& weight : stored_weights(header, "m")) {
    if (weight.name == std::string(kModule) + ".weight") return weight;
  }
  throw Error("not found");
}

TEST_CASE("parts are joined under the weight's name") {
  const auto [rows, columns] = module_shape();
  StoredWeight weight = find(stored({.bits = 4, .symmetric = false}).header);
  CHECK(weight.view.packed_bits == 4);
  CHECK(weight.view.type == DType::kI32);
  CHECK(weight.view.rows == rows);
  CHECK(weight.view.columns == columns);
  CHECK(weight.view.group == 8);
  CHECK(weight.view.scale_rows == rows);
  CHECK(weight.zero_point >= 0);
  CHECK(weight.shape >= 0);
  CHECK(weight.view.row_stride == columns / 2);

  weight = find(stored({.bits = 8, .packed = false, .group = -1}).header);
  CHECK(weight.view.scale_rows == 1);
  CHECK(weight.view.group == columns);
  weight = find(stored({.bits = 8, .packed = false, .group = 0}).header);
  CHECK(weight.view.scale_rows == rows);
  CHECK(weight.view.group == columns);

  weight = find(stored({.bits = 4, .sparse = true}).header);
  CHECK(weight.index >= 0);
  CHECK(weight.view.columns == columns);
  CHECK(weight.view.row_stride == columns / 4);
  CHECK(stored_weights(stored({}).header, "m").size() ==
        open_model(kLlama)->header().tensors.size());
}

TEST_CASE("parts that do not fit together are refused") {
  const auto refused = [](const CheckpointHeader& header, const char* words) {
    const std::string text = error_of([&] { stored_weights(header, "m"); });
    CAPTURE(text);
    CHECK(contains(text, words));
  };
  const auto edited = [](const QuantizedForm& form, const std::string& suffix, auto edit) {
    CheckpointHeader header = stored(form).header;
    for (size_t i = 0; i < header.tensors.size(); ++i) {
      if (header.tensors[i].name != kModule + suffix) continue;
      if (edit(header.tensors[i]))
        header.tensors.erase(header.tensors.begin() + static_cast<long>(i));
      break;
    }
    return header;
  };
  const auto drop = [](TensorInfo&) { return true; };
  const auto narrow = [](TensorInfo& tensor) {
    tensor.shape.back() -= 1;
    return false;
  };
  const auto as_f32 = [](TensorInfo& tensor) {
    tensor.type = DType::kF32;
    return false;
  };
  const QuantizedForm asymmetric{.symmetric = false};
  refused(edited({}, ".weight_scale", drop), "weight_packed without weight_scale");
  refused(edited({}, ".weight_packed", drop), "side tensors but no weights");
  refused(edited({}, ".weight_shape", drop), "without weight_shape");
  refused(edited(asymmetric, ".weight_zero_point", drop), "lacks weight_zero_point");
  refused(edited({}, ".weight_scale", narrow), "weight_scale F32");
  refused(edited(asymmetric, ".weight_zero_point", narrow), "weight_zero_point I32");
  refused(edited({}, ".weight_packed", narrow), "bytes, its shape needs");
  refused(edited({}, ".weight_packed", as_f32), "says otherwise");
  refused(edited({.sparse = true}, ".weight_index", narrow), "");
  refused(edited({.bits = 8, .packed = false}, ".weight_scale", drop), "I8 without weight_scale");
  CheckpointHeader header = stored({}).header;
  header.tensors.push_back({std::string(kModule) + ".weight_zero_point", DType::kI32, {1, 1}});
  refused(header, "in a symmetric scheme");
  header = stored({}).header;
  header.tensors.push_back({std::string(kModule) + ".weight_g_idx", DType::kI32, {8}});
  refused(header, "weight_g_idx': this kind of quantization is not implemented");
  header = stored({}).header;
  header.tensors.push_back({std::string(kModule) + ".weight", DType::kF32, {4, 4}});
  refused(header, "is stored twice");
}

Json config_with(const char* text) { return {{"quantization_config", parse_json(text, "test")}}; }

TEST_CASE("name beats regular expression beats class; ignored modules stay plain") {
  const Json config = config_with(R"({"quant_method": "compressed-tensors",
    "format": "pack-quantized", "ignore": ["lm_head", "re:.*layers\\.0\\."], "config_groups": {
    "a": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 128}},
    "b": {"targets": ["re:.*down_proj"], "weights": {"num_bits": 8, "strategy": "channel"}},
    "c": {"targets": ["model.layers.3.mlp.down_proj"], "weights": {"num_bits": 3,
          "group_size": 32, "symmetric": false}}}})");
  CHECK(quantized_format(config, "model.layers.1.q_proj", "m")->bits == 4);
  CHECK(quantized_format(config, "model.layers.1.q_proj", "m")->group == 128);
  CHECK(quantized_format(config, "model.layers.1.mlp.down_proj", "m")->bits == 8);
  CHECK(quantized_format(config, "model.layers.1.mlp.down_proj", "m")->group == 0);
  const auto named = quantized_format(config, "model.layers.3.mlp.down_proj", "m");
  CHECK(named->bits == 3);
  CHECK_FALSE(named->symmetric);
  CHECK_FALSE(quantized_format(config, "lm_head", "m"));
  CHECK_FALSE(quantized_format(config, "model.layers.0.mlp.down_proj", "m"));
  CHECK_FALSE(quantized_format(Json::object(), "any", "m"));
}

TEST_CASE("Linear and Embedding are classes; a class can be ignored, too") {
  const QuantizationConfig both(config_with(R"({"quant_method": "compressed-tensors",
    "format": "pack-quantized", "ignore": [], "config_groups": {
    "a": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 128}},
    "b": {"targets": ["Embedding"], "weights": {"num_bits": 8, "strategy": "channel"}}}})"),
                                "m");
  CHECK(both.find("model.embed_tokens", ModuleClass::kEmbedding)->bits == 8);
  CHECK(both.find("lm_head", ModuleClass::kLinear)->bits == 4);
  const QuantizationConfig ignoring(config_with(R"({"quant_method": "compressed-tensors",
    "format": "pack-quantized", "ignore": ["Embedding"], "config_groups": {
    "a": {"targets": ["re:.*"], "weights": {"num_bits": 4, "group_size": 128}}}})"),
                                    "m");
  CHECK_FALSE(ignoring.find("model.embed_tokens", ModuleClass::kEmbedding));
  CHECK(ignoring.find("lm_head", ModuleClass::kLinear));
}

TEST_CASE("schemes that are not implemented are refused by name") {
  const auto refused = [](const std::string& from, const std::string& to, const char* words) {
    std::string text = R"({"quant_method": "compressed-tensors", "format": "int-quantized",
      "config_groups": {"g": {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "int",
      "strategy": "channel"}, "input_activations": {"num_bits": 8, "type": "int",
      "strategy": "token", "dynamic": true}}}})";
    REQUIRE(quantized_format(config_with(text.c_str()), "x", "m")->quantize_input);
    text.replace(text.find(from), from.size(), to);
    const std::string error =
        error_of([&] { quantized_format(config_with(text.c_str()), "x", "m"); });
    CAPTURE(error);
    CHECK(contains(error, words));
  };
  refused("compressed-tensors", "gptq", "quant_method \"gptq\" is not implemented");
  refused("int-quantized", "nvfp4-pack-quantized", "format \"nvfp4-pack-quantized\"");
  refused("\"config_groups\"",
          "\"transform_config\": {\"config_groups\": {\"R1\": {}}}, \"config_groups\"",
          "transform_config");
  refused("\"channel\"", "\"block\"", "strategy \"block\"");
  refused("\"dynamic\": true", "\"dynamic\": false", "dynamic false");
  refused("\"num_bits\": 8", "\"num_bits\": 1", "num_bits 1");
  refused("\"num_bits\": 8", "\"num_bits\": 4", "int8 with weights of int4 is not implemented");
  refused("\"strategy\": \"token\"", "\"strategy\": \"tensor\"", "strategy \"tensor\"");
  refused("\"config_groups\"", "\"groups\"", "config_groups is missing");
  refused("\"Linear\"", "\"re:(\"", "is not a regular expression");
}

TEST_CASE("a regular expression cannot run for ever") {
  const Json config = config_with(R"({"quant_method": "compressed-tensors",
    "format": "pack-quantized", "config_groups": {"g": {"targets": ["re:(a+)+$"],
    "weights": {"num_bits": 4, "group_size": 8}}}})");
  const std::string name = std::string(60, 'a') + "!";
  CHECK(contains(error_of([&] { quantized_format(config, name, "m"); }), "takes too long"));
}

// The same matrix through a directory: packed 2:4 has become dense, with the same values.
TEST_CASE("a directory gets 2:4 matrices expanded") {
  TemporaryDirectory directory;
  for (const QuantizedForm form :
       {QuantizedForm{.bits = 4, .sparse = true},
        QuantizedForm{.bits = 8, .packed = false, .group = 0, .sparse = true}}) {
    const Stored model = stored(form);
    MemoryReader reader(model.header, model.data, MemoryReader::kPipe);
    const std::string path = directory / ("dense" + std::to_string(form.bits));
    const auto writer = create_model(path, {});
    CHECK_FALSE(writer->is_stream());
    copy_model(reader, *writer);
    const auto copy = open_model(path);
    CHECK(find(copy->header()).index == -1);
    const auto loaded = load_model(open_model(path), {});
    CHECK(dense_values(loaded->layers[0].down) == model.values);
  }
}

TEST_CASE("a plain 2:4 matrix expands into a directory and into GGUF") {
  TemporaryDirectory directory;
  const auto base = open_model(kLlama);
  CheckpointHeader header = base->header();
  std::vector<Bytes> data = read_all(*base);
  const auto [rows, columns] = module_shape();
  size_t at = 0;
  while (header.tensors[at].name != std::string(kModule) + ".weight") ++at;
  std::vector<float> dense, kept;
  Bytes index;
  for (int64_t r = 0; r < rows; ++r) {
    std::vector<float> row(static_cast<size_t>(columns), 0.0f), half(row.size() / 2);
    for (size_t c = 0; c < row.size(); ++c) {
      if (c % 4 == 1 || c % 4 == static_cast<size_t>(r) % 2 * 3) row[c] = static_cast<float>(c + 1);
    }
    Bytes positions(row.size() / 8);
    REQUIRE(compress_2_4(row.data(), columns, half.data(), positions.data()));
    dense.insert(dense.end(), row.begin(), row.end());
    kept.insert(kept.end(), half.begin(), half.end());
    index.insert(index.end(), positions.begin(), positions.end());
  }
  header.tensors[at] = {header.tensors[at].name, DType::kF32, {rows, columns / 2}};
  data[at] = bytes_of(kept);
  header.tensors.insert(header.tensors.begin() + static_cast<long>(at) + 1,
                        {std::string(kModule) + ".weight_index", DType::kU8, {rows, columns / 8}});
  data.insert(data.begin() + static_cast<long>(at) + 1, index);
  for (const char* name : {"directory", "model.gguf", "bundle.safetensors"}) {
    CAPTURE(std::string(name));
    MemoryReader reader(header, data, MemoryReader::kPipe);
    copy_model(reader, *create_model(directory / name, {}));
    const auto copy = open_model(directory / name);
    CHECK((find(copy->header()).index >= 0) == writes_stream(directory / name));
    CHECK(dense_values(load_model(open_model(directory / name), {})->layers[0].down) == dense);
  }
  for (std::byte& positions : data[at + 1]) positions = std::byte{0x55};  // 1, 1
  MemoryReader damaged(header, data, MemoryReader::kPipe);
  const std::string text =
      error_of([&] { copy_model(damaged, *create_model(directory / "damaged", {})); });
  CHECK(contains(text, "positions that do not ascend"));
  CHECK_FALSE(std::filesystem::exists(directory / "damaged"));
}

TEST_CASE("a directory does not take GGUF's blocks") {
  TemporaryDirectory directory;
  CheckpointHeader header = open_model(kLlama)->header();
  header.tensors[0].type = DType::kQ8_0;
  header.tensors[0].shape.back() = 32;
  const auto writer = create_model(directory / "blocks", {});
  CHECK(contains(error_of([&] { writer->begin(header); }),
                 "is stored as Q8_0, which a Hugging Face directory has not"));
}

}  // namespace
}  // namespace hone
