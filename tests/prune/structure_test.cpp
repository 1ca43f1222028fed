// Structured pruning: the right units, everywhere the same, in an ordinary model.
#include "libcommon/prune/structure.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "libcommon/prune/pruner.h"
#include "tests/compress/memory_model.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

using test::MemoryReader;
using test::MemoryWriter;
using test::ModelBuilder;
using test::small_gpt2;
using test::small_llama;

struct Pruned {
  MemoryWriter writer;
  PrunePlan plan;
};

Pruned prune(const ModelBuilder& model, const PruneOptions& options) {
  MemoryReader reader = model.reader(true);
  const PruneRequest request = parse_prune_options(options);
  const ModelSpec spec = spec_from_checkpoint(reader.header(), "memory");
  ThreadPool pool(2);
  const PrunePlanner planner{reader, spec, options, request};
  Pruned result;
  result.plan = planner.plan(pool);
  run_pipeline(reader, result.writer, result.plan.plan, {.threads = 2});
  // An ordinary model: config.json and tensors agree.
  spec_from_checkpoint(result.writer.header(), "pruned");
  return result;
}

Json config(const Pruned& pruned) {
  return parse_json(pruned.writer.header().files.at("config.json"), "config");
}

std::vector<float> row(const std::vector<float>& values, int64_t columns, int64_t r) {
  return {values.begin() + r * columns, values.begin() + (r + 1) * columns};
}

double squares(const std::vector<float>& values) {
  return std::inner_product(values.begin(), values.end(), values.begin(), 0.0);
}

TEST_CASE("ffn: the neurons of the largest norm stay, in gate, up and down alike") {
  const ModelBuilder model = small_llama();
  const Pruned pruned = prune(model, {.pattern = "ffn", .sparsity = "0.3"});
  CHECK(config(pruned)["intermediate_size"] == 64);  // 67.2, rounded to a multiple of 32
  for (int layer = 0; layer < 3; ++layer) {
    const std::string at = "model.layers." + std::to_string(layer) + ".mlp.";
    const std::vector<float> gate = model.values(at + "gate_proj.weight");
    const std::vector<float> up = model.values(at + "up_proj.weight");
    const std::vector<float> down = model.values(at + "down_proj.weight");
    std::vector<std::pair<double, int64_t>> norms;
    for (int64_t n = 0; n < 96; ++n) {
      double norm = squares(row(gate, 64, n)) + squares(row(up, 64, n));
      for (int64_t r = 0; r < 64; ++r) norm += std::pow(down[static_cast<size_t>(r * 96 + n)], 2);
      norms.push_back({-norm, n});
    }
    std::sort(norms.begin(), norms.end());
    std::vector<int64_t> kept;
    for (size_t i = 0; i < 64; ++i) kept.push_back(norms[i].second);
    std::sort(kept.begin(), kept.end());
    const std::vector<float> gate_after = pruned.writer.values(at + "gate_proj.weight");
    const std::vector<float> down_after = pruned.writer.values(at + "down_proj.weight");
    CHECK(pruned.writer.find(at + "down_proj.weight")->shape == std::vector<int64_t>{64, 64});
    for (size_t i = 0; i < kept.size(); ++i) {
      CHECK(row(gate_after, 64, static_cast<int64_t>(i)) == row(gate, 64, kept[i]));
      for (size_t r = 0; r < 64; ++r) {
        CHECK(down_after[r * 64 + i] == down[r * 96 + static_cast<size_t>(kept[i])]);
      }
    }
  }
  const Pruned exact = prune(model, {.pattern = "ffn", .sparsity = "0.3", .round_to = 1});
  CHECK(config(exact)["intermediate_size"] == 67);
}

TEST_CASE("heads: a key-value head goes with its query heads and their columns of o") {
  const ModelBuilder model = small_llama();
  const Pruned pruned = prune(model, {.pattern = "heads", .sparsity = "0.5"});
  const Json after = config(pruned);
  CHECK(after["num_attention_heads"] == 2);
  CHECK(after["num_key_value_heads"] == 1);
  CHECK(after["head_dim"] == 16);
  const std::string at = "model.layers.1.self_attn.";
  const std::vector<float> k = model.values(at + "k_proj.weight");
  const std::vector<float> q = model.values(at + "q_proj.weight");
  const std::vector<float> k_after = pruned.writer.values(at + "k_proj.weight");
  const int64_t kept = row(k_after, 64, 0) == row(k, 64, 0) ? 0 : 1;
  CHECK(row(k_after, 64, 15) == row(k, 64, kept * 16 + 15));
  const std::vector<float> q_after = pruned.writer.values(at + "q_proj.weight");
  CHECK(row(q_after, 64, 31) == row(q, 64, kept * 32 + 31));
  const std::vector<float> o = model.values(at + "o_proj.weight");
  const std::vector<float> o_after = pruned.writer.values(at + "o_proj.weight");
  CHECK(o_after[7 * 32 + 5] == o[static_cast<size_t>(7 * 64 + kept * 32 + 5)]);
}

TEST_CASE("layers: the weakest block goes, the others close up, per-layer lists with them") {
  ModelBuilder model = small_llama();
  for (const TensorInfo& tensor : model.header().tensors) {
    if (tensor.name.find("layers.1.") == std::string::npos) continue;
    for (int64_t i = 0; i < tensor.elements(); ++i) model.set(tensor.name, i, 0.01f);
  }
  const Pruned pruned = prune(model, {.pattern = "layers", .sparsity = "0.34"});
  CHECK(config(pruned)["num_hidden_layers"] == 2);
  CHECK(pruned.plan.dropped_layers == std::vector<int64_t>{1});
  CHECK(pruned.writer.values("model.layers.1.mlp.up_proj.weight") ==
        model.values("model.layers.2.mlp.up_proj.weight"));
  CHECK(pruned.writer.find("model.layers.2.mlp.up_proj.weight") == nullptr);

  const ModelSpec spec = spec_from_checkpoint(model.header(), "memory");
  Structure structure;
  structure.layers = {0, 2};
  const Json lists = structured_config(
      {{"num_hidden_layers", 3}, {"layer_types", {"a", "b", "c"}}, {"max_window_layers", 2}}, spec,
      structure);
  CHECK(lists["layer_types"] == Json({"a", "c"}));
  CHECK(lists["max_window_layers"] == 1);
}

TEST_CASE("rows: neurons go for good, rows of the other matrices become zero") {
  const ModelBuilder model = small_llama();
  const Pruned pruned = prune(model, {.pattern = "rows", .sparsity = "0.5", .round_to = 16});
  CHECK(config(pruned)["intermediate_size"] == 48);
  const std::string name = "model.layers.0.self_attn.v_proj.weight";
  const std::vector<float> before = model.values(name);
  const std::vector<float> after = pruned.writer.values(name);
  double largest_gone = 0, smallest_kept = 1e9;
  int64_t gone = 0;
  for (int64_t r = 0; r < 32; ++r) {
    const double norm = squares(row(before, 64, r));
    if (squares(row(after, 64, r)) == 0) {
      ++gone;
      largest_gone = std::max(largest_gone, norm);
    } else {
      smallest_kept = std::min(smallest_kept, norm);
      CHECK(row(after, 64, r) == row(before, 64, r));
    }
  }
  CHECK(gone == 16);
  CHECK(largest_gone < smallest_kept);
}

TEST_CASE("GPT-2: neurons are stored columns, their biases go with them") {
  const ModelBuilder model = small_gpt2();
  const Pruned pruned = prune(model, {.pattern = "ffn", .sparsity = "0.5"});
  CHECK(config(pruned)["n_inner"] == 32);
  const std::string at = "transformer.h.0.mlp.";
  CHECK(pruned.writer.find(at + "c_fc.weight")->shape == std::vector<int64_t>{32, 32});
  CHECK(pruned.writer.find(at + "c_fc.bias")->shape == std::vector<int64_t>{32});
  CHECK(pruned.writer.find(at + "c_proj.weight")->shape == std::vector<int64_t>{32, 32});
  // The bias of each neuron that stayed is the one that lies with its row of c_proj.
  const std::vector<float> bias = model.values(at + "c_fc.bias");
  const std::vector<float> proj = model.values(at + "c_proj.weight");
  const std::vector<float> bias_after = pruned.writer.values(at + "c_fc.bias");
  const std::vector<float> proj_after = pruned.writer.values(at + "c_proj.weight");
  for (size_t i = 0; i < 32; ++i) {
    const auto old = std::find(bias.begin(), bias.end(), bias_after[i]) - bias.begin();
    CHECK(old < 64);
    CHECK(row(proj_after, 32, static_cast<int64_t>(i)) == row(proj, 32, old));
  }
  CHECK_THROWS_WITH_AS(prune(model, {.pattern = "heads", .sparsity = "0.5"}),
                       doctest::Contains("prune ffn or layers instead"), Error);
}

TEST_CASE("a plan without the weights has the same sizes") {
  for (const std::string pattern : {"ffn", "heads", "layers", "rows"}) {
    const ModelBuilder model = small_llama();
    const PruneOptions options{.pattern = pattern, .sparsity = "0.5"};
    const Pruned pruned = prune(model, options);
    MemoryReader pipe = model.reader(false);
    const PruneRequest request = parse_prune_options(options);
    const ModelSpec spec = spec_from_checkpoint(pipe.header(), "memory");
    ThreadPool pool(1);
    const PrunePlanner dry{pipe, spec, options, request, false, false};
    CHECK(dry.plan(pool).plan.header.total_bytes() == pruned.writer.header().total_bytes());
    CHECK(pruned.writer.header().total_bytes() < model.header().total_bytes());
  }
}

TEST_CASE("names and their layers") {
  CHECK(layer_of("model.layers.12.mlp.weight") == 12);
  CHECK(layer_of("lm_head.weight") == -1);
  CHECK(with_layer("h.1.attn.c_attn.weight", 10) == "h.10.attn.c_attn.weight");
  CHECK(with_layer("model.layers.7.mlp.up_proj.weight", 3) == "model.layers.3.mlp.up_proj.weight");
}

}  // namespace
}  // namespace hone
