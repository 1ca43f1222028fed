// random:SHAPE: every element a function of seed, tensor and index, whatever way it is read.
#include <chrono>
#include <cmath>

#include "kernels/codec/codec.h"
#include "libcommon/model/model_io.h"
#include "libcommon/model/spec.h"
#include "tests/model/memory_checkpoint.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

using testing::Bytes;
using testing::contains;
using testing::error_of;

std::string tiny_random(const std::string& options = "") {
  return "random:" HONE_TESTDATA "/tiny-llama/config.json" + options;
}

TEST_CASE("all shapes are models, their sizes those of the originals") {
  const std::pair<const char*, double> expected[] = {
      {"gpt2", 124.4e6},          {"bloom-560m", 559.2e6},
      {"qwen3-0.6b", 596.0e6},    {"tinyllama-1.1b", 1100.0e6},
      {"llama-3.2-1b", 1235.8e6}, {"llama-3.1-8b", 8030.3e6}};
  CHECK(random_shapes().size() == std::size(expected));
  for (const auto& [name, parameters] : expected) {
    CAPTURE(std::string(name));
    const auto reader = open_model(std::string("random:") + name);
    double elements = 0;
    for (const TensorInfo& tensor : reader->header().tensors) {
      elements += static_cast<double>(tensor.elements());
    }
    CHECK(elements == doctest::Approx(parameters).epsilon(0.001));
    CHECK(reader->mapped(0) == nullptr);
    spec_from_checkpoint(reader->header(), reader->subject());
  }
}

TEST_CASE("same seed, same bytes; another seed, other bytes") {
  const auto first = testing::read_all(*open_model(tiny_random()));
  CHECK(first == testing::read_all(*open_model(tiny_random("?seed=0"))));
  CHECK(first != testing::read_all(*open_model(tiny_random("?seed=1"))));
}

TEST_CASE("any range reads the same") {
  for (const char* type : {"bf16", "f16", "f32"}) {
    const auto reader = open_model(tiny_random(std::string("?seed=7&dtype=") + type));
    REQUIRE(reader->random_access());
    REQUIRE(reader->next());
    const Bytes whole = testing::read_current(*reader, 12345);
    for (const auto& [offset, size] :
         {std::pair<size_t, size_t>{0, 1}, {1, 3}, {4095, 8200}, {777, 64}}) {
      Bytes part(size);
      reader->read_at(0, static_cast<int64_t>(offset), part);
      CHECK(std::equal(part.begin(), part.end(), whole.begin() + static_cast<long>(offset)));
    }
  }
}

TEST_CASE("values have the deviation that keeps activations finite") {
  const auto reader = open_model(tiny_random("?dtype=f32"));
  while (reader->next()) {
    const TensorInfo& tensor = reader->current();
    const Bytes bytes = testing::read_current(*reader);
    const auto* values = reinterpret_cast<const float*>(bytes.data());
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < tensor.elements(); ++i) {
      REQUIRE(std::isfinite(values[i]));
      sum += static_cast<double>(values[i]);
      squares += static_cast<double>(values[i]) * static_cast<double>(values[i]);
    }
    const auto count = static_cast<double>(tensor.elements());
    CAPTURE(tensor.name);
    const double mean = sum / count;
    const double deviation = std::sqrt(squares / count - mean * mean);
    if (tensor.shape.size() == 1) {
      CHECK(mean == doctest::Approx(1.0).epsilon(0.05));
    } else {
      const bool embedding = tensor.name.find("proj") == std::string::npos;
      const double expected =
          embedding ? 0.02 : 1 / std::sqrt(static_cast<double>(tensor.columns()));
      CHECK(deviation == doctest::Approx(expected).epsilon(0.1));
      CHECK(std::abs(mean) < 0.1 * expected);
    }
  }
}

TEST_CASE("requests that make no sense are usage errors") {
  const auto refused = [](const std::string& where, const char* words) {
    CAPTURE(where);
    CHECK(contains(error_of([&] { open_model(where); }), words));
  };
  refused("random:llama-9b", "no such shape; known: gpt2");
  refused("random:gpt2?seed=x", "seed must be a number");
  refused("random:gpt2?seed=", "seed must be a number");
  refused("random:gpt2?dtype=int4", "dtype must be bf16, f16 or f32");
  refused("random:gpt2?speed=9", "unknown option 'speed'");
}

TEST_CASE("a quantized config is taken for its shape only") {
  testing::TemporaryDirectory directory;
  Json config = parse_json(open_model(tiny_random())->header().files.at("config.json"), "test");
  config["quantization_config"] = {{"quant_method", "gptq"}};
  const std::string path = directory / "config.json";
  FILE* file = std::fopen(path.c_str(), "w");
  std::fputs(config.dump().c_str(), file);
  std::fclose(file);
  const auto reader = open_model("random:" + path);
  spec_from_checkpoint(reader->header(), reader->subject());
}

}  // namespace
}  // namespace hone
