// Whole models through plans: names, shapes, config.json, numbers, refusals.
#include "libcommon/quant/quantizer.h"

#include <algorithm>
#include <cmath>

#include "kernels/codec/codec.h"
#include "tests/compress/memory_model.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

using test::MemoryReader;
using test::MemoryWriter;
using test::ModelBuilder;
using test::small_gpt2;
using test::small_llama;

struct Quantized {
  MemoryWriter writer;
  QuantizePlan plan;
};

Quantized quantize(MemoryReader reader, const QuantizeOptions& options, int threads = 1) {
  Quantized result;
  result.plan = plan_quantization(reader.header(), "memory", options);
  run_pipeline(reader, result.writer, result.plan.plan, {.threads = threads});
  spec_from_checkpoint(result.writer.header(), "quantized");  // loads as a model
  return result;
}

Json config(const Quantized& quantized) {
  return parse_json(quantized.writer.header().files.at("config.json"), "config");
}

const QuantizedTensor& entry(const Quantized& quantized, const std::string& name) {
  for (const QuantizedTensor& tensor : quantized.plan.tensors) {
    if (tensor.name == name) return tensor;
  }
  FAIL("no tensor " << name);
  return quantized.plan.tensors.front();
}

// The quantized model's weights, decoded by the codec alone.
std::vector<float> decoded(const Quantized& quantized, const std::string& name) {
  const CheckpointHeader& header = quantized.writer.header();
  for (const StoredWeight& weight : stored_weights(header, "memory")) {
    if (weight.name != name) continue;
    const auto part = [&](int64_t index) {
      return index < 0 ? test::Content{}
                       : quantized.writer.content(header.tensors[static_cast<size_t>(index)].name);
    };
    const test::Content payload = part(weight.payload), scale = part(weight.scale),
                        index = part(weight.index), packed_zeros = part(weight.zero_point);
    WeightView view = weight.view;
    view.payload = payload.data();
    if (weight.scale >= 0) view.scales = scale.data();
    if (weight.index >= 0) view.index = index.data();
    std::vector<int8_t> zeros;
    if (weight.zero_point >= 0) {
      zeros.resize(static_cast<size_t>(view.rows * (view.columns / view.group)));
      unpack_zeros(packed_zeros.data(), view.rows, view.columns / view.group, view.packed_bits,
                   zeros.data());
      view.zeros = zeros.data();
    }
    std::vector<float> out(static_cast<size_t>(view.rows * view.columns));
    for (int64_t r = 0; r < view.rows; ++r)
      decode_weight_row(view, r, out.data() + r * view.columns);
    return out;
  }
  FAIL("no weight " << name);
  return {};
}

// Square error sums, recomputed.
void check_report(const Quantized& quantized, const std::string& name,
                  const std::vector<float>& before, int64_t columns) {
  const std::vector<float> after = decoded(quantized, name);
  REQUIRE(before.size() == after.size());
  double error = 0, sum = 0, worst = -1;
  size_t at = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    const double e = std::fabs(static_cast<double>(before[i]) - after[i]);
    error += e * e;
    sum += static_cast<double>(before[i]) * before[i];
    if (e > worst) worst = e, at = i;
  }
  const ErrorStatistics& s = entry(quantized, name).statistics();
  CHECK(s.mean_square_error() == doctest::Approx(error / static_cast<double>(before.size())));
  CHECK(s.snr_db() == doctest::Approx(10 * std::log10(sum / error)));
  CHECK(s.worst_row == static_cast<int64_t>(at) / columns);
  CHECK(s.worst_column == static_cast<int64_t>(at) % columns);
  CHECK(s.worst_before == before[at]);
  CHECK(s.worst_after == after[at]);
}

const std::string kUp = "model.layers.1.mlp.up_proj.weight";  // [96, 64]

TEST_CASE("every scheme: a model that loads, errors as reported and of the expected size") {
  struct Case {
    const char* scheme;
    double least_db;
  };
  for (const Case& c : {Case{"w8a8", 40},
                        {"w8a16", 40},
                        {"w4a16", 17},
                        {"w4a16-asym", 17},
                        {"w3a16", 10},
                        {"w2a16", 2},
                        {"fp8", 28},
                        {"q8_0", 40},
                        {"q4_0", 17},
                        {"q4_1", 17},
                        {"bf16", 45},
                        {"f16", 60}}) {
    CAPTURE(c.scheme);
    const ModelBuilder model = small_llama();
    const Quantized quantized = quantize(model.reader(), {.scheme = c.scheme}, 2);
    check_report(quantized, kUp, model.values(kUp), 64);
    CHECK(entry(quantized, kUp).statistics().snr_db() > c.least_db);
    CHECK(quantized.writer.header().total_bytes() < model.header().total_bytes());
  }
}

TEST_CASE("free-form schemes: bits, groups, strategies, ranges") {
  const ModelBuilder model = small_llama(DType::kBF16);
  for (int64_t bits : {2, 3, 4, 5, 6, 8}) {
    for (const char* strategy : {"tensor", "channel", "group"}) {
      for (const char* range : {"absmax", "percentile", "mse"}) {
        for (bool asymmetric : {false, true}) {
          if (asymmetric && std::string(strategy) == "tensor") continue;
          QuantizeOptions options;
          options.overrides.bits = bits;
          options.overrides.strategy = strategy;
          options.overrides.range = range;
          options.overrides.asymmetric = asymmetric;
          if (std::string(strategy) == "group") options.overrides.group_size = 32;
          const Quantized quantized = quantize(model.reader(), options);
          check_report(quantized, kUp, model.values(kUp), 64);
        }
      }
    }
  }
}

TEST_CASE("names, types and shapes are compressed-tensors'") {
  const ModelBuilder model = small_llama(DType::kBF16);
  const Quantized quantized = quantize(model.reader(), {.scheme = "w4a16-asym"});
  const std::string at = "model.layers.1.mlp.up_proj.";
  CHECK(*quantized.writer.find(at + "weight_packed") ==
        TensorInfo{at + "weight_packed", DType::kI32, {96, 8}});
  CHECK(*quantized.writer.find(at + "weight_scale") ==
        TensorInfo{at + "weight_scale", DType::kBF16, {96, 1}});  // 128 -> 64 columns: group 64
  CHECK(*quantized.writer.find(at + "weight_zero_point") ==
        TensorInfo{at + "weight_zero_point", DType::kI32, {12, 1}});
  const std::vector<float> shape = quantized.writer.values(at + "weight_shape");
  CHECK(shape == std::vector<float>{96, 64});
  CHECK(quantized.writer.find(at + "weight") == nullptr);
  CHECK(quantized.writer.values("model.embed_tokens.weight") ==
        model.values("model.embed_tokens.weight"));
  CHECK(quantized.writer.values("lm_head.weight") == model.values("lm_head.weight"));
}

TEST_CASE("quantization_config, key by key") {
  const Quantized quantized = quantize(small_llama().reader(), {.scheme = "w4a16"});
  const Json q = config(quantized)["quantization_config"];
  // down_proj has 96 columns: groups of 32, a group of its own in the file.
  CHECK(q["quant_method"] == "compressed-tensors");
  CHECK(q["format"] == "pack-quantized");
  CHECK(q["quantization_status"] == "compressed");
  CHECK(q["version"] == "0.15.0");
  CHECK(q["ignore"] == Json({"model.embed_tokens", "lm_head"}));
  CHECK(q["config_groups"]["group_0"] == parse_json(R"({"targets": ["Linear"],
          "weights": {"num_bits": 4, "type": "int", "symmetric": true, "strategy": "group",
                      "group_size": 64, "block_structure": null, "dynamic": false, "actorder": null,
                      "observer": "minmax", "observer_kwargs": {}},
          "input_activations": null, "output_activations": null})",
                                                    "expected"));
  const Json down = q["config_groups"]["group_1"];
  CHECK(down["weights"]["group_size"] == 32);
  CHECK(down["targets"].size() == 3);
  CHECK(down["targets"][0] == "model.layers.0.mlp.down_proj");
  CHECK(quantized.plan.notes.size() == 1);
}

TEST_CASE("an embedding of the largest group is no Linear: its name is listed") {
  const Quantized quantized =
      quantize(small_llama().reader(), {.scheme = "w8a16", .sets = {"embed=w8a16"}});
  const Json group = config(quantized)["quantization_config"]["config_groups"]["group_0"];
  CHECK(group["targets"] == Json({"Linear", "model.embed_tokens"}));
}

TEST_CASE("w8a8 and fp8 record dynamic activations; odd widths ask for a newer reader") {
  const Json w8a8 = config(quantize(small_llama().reader(), {.scheme = "w8a8"}));
  const Json& q = w8a8["quantization_config"];
  CHECK(q["format"] == "int-quantized");
  CHECK(q["config_groups"]["group_0"]["weights"]["strategy"] == "channel");
  CHECK(q["config_groups"]["group_0"]["input_activations"]["strategy"] == "token");
  CHECK(q["config_groups"]["group_0"]["input_activations"]["dynamic"] == true);
  const Json fp8 = config(quantize(small_llama().reader(), {.scheme = "fp8"}));
  CHECK(fp8["quantization_config"]["format"] == "float-quantized");
  CHECK(fp8["quantization_config"]["config_groups"]["group_0"]["weights"]["type"] == "float");
  const Json w3 = config(quantize(small_llama().reader(), {.scheme = "w3a16"}));
  CHECK(w3["quantization_config"]["version"] == "0.17.0");
}

TEST_CASE("--set: the first match wins, exclude beats all, formats may mix") {
  const Quantized quantized = quantize(
      small_llama().reader(), {.scheme = "w4a16",
                               .sets = {"layers\\.0\\..*down=none", "down_proj=w8a8", "proj=w2a16"},
                               .exclude = {"k_proj"}});
  CHECK(quantized.writer.find("model.layers.0.mlp.down_proj.weight")->type == DType::kF32);
  CHECK(quantized.writer.find("model.layers.1.mlp.down_proj.weight")->type == DType::kI8);
  CHECK(entry(quantized, kUp).scheme.bits == 2);
  CHECK(quantized.writer.find("model.layers.1.self_attn.k_proj.weight")->type == DType::kF32);
  const Json q = config(quantized)["quantization_config"];
  CHECK(q["format"] == "mixed-precision");
  CHECK(q["config_groups"]["group_1"]["format"] == "int-quantized");
  CHECK(q["ignore"].size() == 6);
  CHECK_THROWS_AS(quantize(small_llama().reader(), {.scheme = "w4a16", .sets = {"x"}}), Error);
  CHECK_THROWS_AS(quantize(small_llama().reader(), {}), Error);
}

TEST_CASE("GGUF types: all matrices, the head in Q8_0, rows that do not divide in F16") {
  ModelBuilder model = small_llama();
  const Quantized quantized = quantize(model.reader(), {.scheme = "q4_0"});
  CHECK(quantized.writer.find("model.embed_tokens.weight")->type == DType::kQ4_0);
  CHECK(quantized.writer.find("lm_head.weight")->type == DType::kQ8_0);
  CHECK(quantized.writer.find(kUp)->type == DType::kQ4_0);
  CHECK(quantized.writer.find("model.norm.weight")->type == DType::kF32);
  CHECK_FALSE(config(quantized).contains("quantization_config"));
  const Quantized gpt2 = quantize(small_gpt2().reader(), {.scheme = "q4_0"});
  CHECK(gpt2.writer.find("transformer.wte.weight")->type == DType::kQ8_0);  // tied: it is the head
  CHECK(gpt2.writer.find("transformer.h.0.mlp.c_fc.weight")->shape ==
        std::vector<int64_t>{64, 32});  // [out, in]
  CHECK(gpt2.writer.find("transformer.wpe.weight")->type == DType::kF32);
}

std::vector<float> transposed(const std::vector<float>& values, int64_t rows, int64_t columns) {
  std::vector<float> out(values.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      out[static_cast<size_t>(c * rows + r)] = values[static_cast<size_t>(r * columns + c)];
    }
  }
  return out;
}

TEST_CASE("GPT-2 is quantized along its inputs and comes back in its own layout") {
  const ModelBuilder model = small_gpt2();
  const std::string name = "transformer.h.1.mlp.c_fc.weight";  // [32, 64]
  for (const char* scheme : {"w8a16", "w8a8", "q8_0"}) {
    CAPTURE(scheme);
    const Quantized quantized = quantize(model.reader(), {.scheme = scheme}, 2);
    const std::vector<float> turned = transposed(model.values(name), 32, 64);
    check_report(quantized, name, turned, 32);
    for (bool random_access : {true, false}) {
      const Quantized plain = quantize(quantized.writer.reader(random_access), {.scheme = "f32"});
      CHECK(plain.writer.find(name)->shape == std::vector<int64_t>{32, 64});
      CHECK(transposed(plain.writer.values(name), 32, 64) == decoded(quantized, name));
    }
  }
}

TEST_CASE("casting a quantized model gives its plain weights, from files and pipes") {
  const ModelBuilder model = small_llama(DType::kBF16);
  for (const char* scheme : {"w4a16-asym", "w8a8", "fp8", "w3a16", "q4_1"}) {
    for (bool random_access : {true, false}) {
      CAPTURE(scheme);
      const Quantized quantized = quantize(model.reader(), {.scheme = scheme});
      const Quantized plain = quantize(quantized.writer.reader(random_access), {.scheme = "f32"});
      CHECK(plain.writer.header().tensors.size() == model.header().tensors.size());
      CHECK(plain.writer.values(kUp) == decoded(quantized, kUp));
      CHECK_FALSE(config(plain).contains("quantization_config"));
    }
  }
}

TEST_CASE("a quantized model is quantized again only when asked to") {
  const Quantized once = quantize(small_llama().reader(), {.scheme = "w8a16"});
  CHECK_THROWS_WITH_AS(quantize(once.writer.reader(true), {.scheme = "w4a16"}),
                       doctest::Contains("--requantize"), Error);
  const Quantized twice =
      quantize(once.writer.reader(true), {.scheme = "w4a16", .requantize = true});
  check_report(twice, kUp, decoded(once, kUp), 64);
  const Quantized blocks = quantize(small_llama().reader(), {.scheme = "q8_0"});
  CHECK_THROWS_WITH_AS(quantize(blocks.writer.reader(true), {.scheme = "w4a16"}),
                       doctest::Contains("Q8_0"), Error);
  const Quantized mixed =
      quantize(blocks.writer.reader(true), {.scheme = "w4a16", .requantize = true});
  CHECK(mixed.writer.find("model.embed_tokens.weight")->type == DType::kF16);
  // A scheme for some tensors leaves the others as they were stored, and says so in the file.
  const Quantized partly = quantize(once.writer.reader(true), {.sets = {"layers\\.0\\..*up=f32"}});
  CHECK(decoded(partly, kUp) == decoded(once, kUp));
  CHECK(config(partly)["quantization_config"]["ignore"].size() == 3);
}

// small_llama with 2:4 weights, packed.
ModelBuilder packed_llama() {
  const ModelBuilder dense = small_llama(DType::kBF16);
  ModelBuilder model(test::llama_config());
  for (const TensorInfo& tensor : dense.header().tensors) {
    const std::vector<float> values = dense.values(tensor.name);
    if (tensor.name.find("_proj") == std::string::npos) {
      model.add_values(tensor, values);
      continue;
    }
    const int64_t rows = tensor.shape[0], columns = tensor.shape[1];
    std::vector<float> kept(values.size() / 2);
    std::vector<std::byte> index(values.size() / 8);
    for (int64_t r = 0; r < rows; ++r) {
      std::vector<float> row(values.begin() + r * columns, values.begin() + (r + 1) * columns);
      for (size_t c = 0; c < row.size(); c += 4)
        row[c + 1 + static_cast<size_t>(r) % 3] = row[c] = 0;
      REQUIRE(compress_2_4(row.data(), columns, kept.data() + r * columns / 2,
                           index.data() + r * columns / 8));
    }
    model.add_values({tensor.name, DType::kBF16, {rows, columns / 2}}, kept);
    model.add_bytes({tensor.name + "_index", DType::kU8, {rows, columns / 8}}, index);
  }
  return model;
}

TEST_CASE("2:4 packed weights: the kept ones are quantized, positions pass") {
  const ModelBuilder model = packed_llama();
  for (const char* scheme : {"w4a16", "w4a16-asym", "w8a8", "fp8", "f32", "q8_0"}) {
    for (bool random_access : {true, false}) {
      CAPTURE(scheme);
      const Quantized quantized = quantize(model.reader(random_access), {.scheme = scheme}, 2);
      const bool blocks = std::string(scheme) == "q8_0";
      CHECK((quantized.writer.find(kUp + "_index") == nullptr) == blocks);
      const std::vector<float> after = decoded(quantized, kUp);
      const std::vector<float> kept = model.values(kUp);
      const test::Content index = model.content(kUp + "_index");
      std::vector<float> before(after.size());
      for (int64_t r = 0; r < 96; ++r) {
        expand_2_4(kept.data() + r * 32, index.data() + r * 8, 64, before.data() + r * 64);
      }
      double error = 0, sum = 0;
      for (size_t i = 0; i < before.size(); ++i) {
        if (before[i] == 0) CHECK(after[i] == 0);
        error += std::pow(before[i] - after[i], 2);
        sum += std::pow(before[i], 2);
      }
      CHECK(error <= 0.02 * sum);
    }
  }
}

TEST_CASE("NaN and infinity are named, or passed when allowed") {
  for (float bad : {std::nanf(""), HUGE_VALF}) {
    for (const char* scheme : {"w4a16", "w8a8", "bf16", "q8_0"}) {
      ModelBuilder model = small_llama();
      model.set(kUp, 64 * 10 + 7, bad);
      CHECK_THROWS_WITH_AS(
          quantize(model.reader(), {.scheme = scheme}),
          doctest::Contains("'model.layers.1.mlp.up_proj.weight': element [10, 7]"), Error);
    }
    ModelBuilder model = small_llama();
    model.set(kUp, 64 * 10 + 7, bad);
    const Quantized passed = quantize(model.reader(), {.scheme = "w4a16", .allow_nan = true});
    CHECK(entry(passed, kUp).statistics().not_finite == 1);
    CHECK(std::isfinite(entry(passed, kUp).statistics().snr_db()));
  }
  ModelBuilder large = small_llama();
  large.set(kUp, 3, 1e6f);
  CHECK_THROWS_WITH_AS(quantize(large.reader(), {.scheme = "f16"}),
                       doctest::Contains("too large for F16"), Error);
}

TEST_CASE("threads do not change a byte") {
  const ModelBuilder model = small_llama(DType::kBF16);
  for (const char* scheme : {"w4a16-asym", "w8a8", "q4_0", "f16"}) {
    const Quantized one = quantize(model.reader(), {.scheme = scheme}, 1);
    const Quantized three = quantize(model.reader(), {.scheme = scheme}, 3);
    CHECK(one.writer.all() == three.writer.all());
    CHECK(entry(one, kUp).statistics().square_error == entry(three, kUp).statistics().square_error);
  }
}

TEST_CASE("schemes that the output cannot hold are refused with advice") {
  const auto refusal = [](const std::string& scheme, const std::string& output) {
    try {
      quantize(small_llama().reader(), {.output = output, .scheme = scheme});
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::kUsage);
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(refusal("w8a16", "x.gguf").find("q8_0") != std::string::npos);
  CHECK(refusal("q8_0", "directory").find(".gguf") != std::string::npos);
  CHECK(refusal("w8a16", "directory").empty());
  CHECK(refusal("q8_0", "x.gguf").empty());
}

TEST_CASE("bytes foretold are bytes written") {
  for (const char* scheme : {"w4a16", "w3a16", "w8a8", "q4_0", "bf16"}) {
    const ModelBuilder model = small_llama();
    const Quantized quantized = quantize(model.reader(), {.scheme = scheme});
    CHECK(static_cast<int64_t>(quantized.writer.all().size()) ==
          quantized.plan.plan.header.total_bytes());
    int64_t changed = 0, before = 0;
    for (const QuantizedTensor& tensor : quantized.plan.tensors) {
      changed += tensor.bytes_after;
      before += tensor.bytes_before;
    }
    CHECK(model.header().total_bytes() - before + changed ==
          quantized.plan.plan.header.total_bytes());
  }
}

}  // namespace
}  // namespace hone
