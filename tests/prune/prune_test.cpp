// Pruned models against plain double references: exact counts, the best of each group, shapes.
#include "libcommon/prune/pruner.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

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

struct Pruned {
  MemoryWriter writer;
  PrunePlan plan;
};

struct Run {
  PruneOptions options;
  bool packed = false;
  int threads = 1;
  bool random_access = true;
};

Pruned prune(const ModelBuilder& model, const Run& run) {
  MemoryReader reader = model.reader(run.random_access);
  const PruneRequest request = parse_prune_options(run.options);
  const ModelSpec spec = spec_from_checkpoint(reader.header(), "memory");
  ThreadPool pool(run.threads);
  const PrunePlanner planner{.reader = reader,
                             .spec = spec,
                             .options = run.options,
                             .request = request,
                             .packed = run.packed};
  Pruned result;
  result.plan = planner.plan(pool);
  run_pipeline(reader, result.writer, result.plan.plan, {.threads = run.threads});
  return result;
}

int64_t zeros(const std::vector<float>& values) {
  return std::count(values.begin(), values.end(), 0.0f);
}

bool is_linear(const std::string& name) { return name.find("_proj.weight") != std::string::npos; }

TEST_CASE("unstructured by tensor: exactly the share, exactly the smallest, the rest untouched") {
  for (DType type : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (bool random_access : {true, false}) {
      const ModelBuilder model = small_llama(type);
      const Pruned pruned =
          prune(model, {.options = {.sparsity = "0.3"}, .random_access = random_access});
      for (const TensorInfo& tensor : model.header().tensors) {
        CAPTURE(tensor.name);
        const std::vector<float> before = model.values(tensor.name);
        const std::vector<float> after = pruned.writer.values(tensor.name);
        if (!is_linear(tensor.name)) {
          CHECK(before == after);
          continue;
        }
        const auto expected = std::llround(0.3 * static_cast<double>(before.size()));
        CHECK(zeros(after) == expected);
        float largest_gone = 0, smallest_kept = 1e9f;
        for (size_t i = 0; i < before.size(); ++i) {
          if (after[i] == 0) {
            largest_gone = std::max(largest_gone, std::fabs(before[i]));
          } else {
            smallest_kept = std::min(smallest_kept, std::fabs(before[i]));
            CHECK(after[i] == before[i]);
          }
        }
        CHECK(largest_gone <= smallest_kept);
      }
    }
  }
}

TEST_CASE("ties go in order of their index") {
  ModelBuilder model = small_llama();
  const std::string name = "model.layers.1.mlp.down_proj.weight";
  for (int64_t i = 0; i < 64 * 96; ++i) model.set(name, i, i % 2 ? 1.0f : -1.0f);
  const Pruned pruned = prune(model, {.options = {.sparsity = "0.25"}, .threads = 3});
  const std::vector<float> after = pruned.writer.values(name);
  CHECK(zeros(after) == 64 * 96 / 4);
  CHECK(zeros({after.begin(), after.begin() + 64 * 96 / 4}) == 64 * 96 / 4);
}

TEST_CASE("scopes: exact counts over the layer and over the model") {
  ModelBuilder model = small_llama();
  // Layer 2 is ten times smaller than the others: a global threshold takes it first.
  for (const TensorInfo& tensor : model.header().tensors) {
    if (tensor.name.find("layers.2.") == std::string::npos) continue;
    const std::vector<float> values = model.values(tensor.name);
    for (size_t i = 0; i < values.size(); ++i) {
      model.set(tensor.name, static_cast<int64_t>(i), values[i] / 10);
    }
  }
  for (const std::string scope : {"layer", "global"}) {
    const Pruned pruned = prune(model, {.options = {.sparsity = "0.4", .scope = scope}});
    std::map<int64_t, std::pair<int64_t, int64_t>> layers;  // zeros, elements
    std::vector<float> kept, gone;
    for (const TensorInfo& tensor : model.header().tensors) {
      if (!is_linear(tensor.name)) continue;
      const std::vector<float> before = model.values(tensor.name);
      const std::vector<float> after = pruned.writer.values(tensor.name);
      auto& [zero, all] = layers[layer_of(tensor.name)];
      zero += zeros(after);
      all += tensor.elements();
      for (size_t i = 0; i < before.size(); ++i) {
        (after[i] == 0 ? gone : kept).push_back(std::fabs(before[i]));
      }
    }
    const int64_t total = layers[0].second * 3;
    CHECK(static_cast<int64_t>(gone.size()) == std::llround(0.4 * static_cast<double>(total)));
    if (scope == "layer") {
      for (const auto& [layer, counts] : layers) {
        CHECK(counts.first == std::llround(0.4 * static_cast<double>(counts.second)));
      }
    } else {
      CHECK(*std::max_element(gone.begin(), gone.end()) <=
            *std::min_element(kept.begin(), kept.end()));
      CHECK(layers[2].first > layers[0].first);
    }
  }
}

TEST_CASE("a threshold takes what is smaller, and says how sure it was") {
  const ModelBuilder model = small_llama();
  const Pruned pruned = prune(model, {.options = {.threshold = "0.5"}});
  const std::string name = "model.layers.0.self_attn.q_proj.weight";
  const std::vector<float> before = model.values(name);
  const std::vector<float> after = pruned.writer.values(name);
  double kept = 0, gone = 0, removed = 0, all = 0;
  int64_t undecided = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    const double w = std::fabs(before[i]);
    const double strength = (w - 0.5) / (w + 0.5);
    CHECK((after[i] == 0) == (w < 0.5));
    (w < 0.5 ? gone : kept) += strength;
    undecided += std::fabs(strength) < 0.1;
    all += w * w;
    removed += w < 0.5 ? w * w : 0;
  }
  const PrunedTensor& entry = pruned.plan.tensors.front();
  CHECK(entry.name == name);
  const MaskStatistics& s = entry.statistics();
  CHECK(s.kept_strength == doctest::Approx(kept));
  CHECK(s.pruned_strength == doctest::Approx(gone));
  CHECK(s.undecided == undecided);
  CHECK(s.zeros_after == zeros(after));
  CHECK(s.norm_removed() == doctest::Approx(std::sqrt(removed / all)));
}

// Checks one group of `total` values: the `keep` largest stay.
void check_group(const std::vector<float>& before, const std::vector<float>& after, int64_t keep) {
  std::vector<float> sizes;
  for (float w : before) sizes.push_back(std::fabs(w));
  std::sort(sizes.rbegin(), sizes.rend());
  double best = std::accumulate(sizes.begin(), sizes.begin() + keep, 0.0);
  double kept = 0;
  int64_t nonzero = 0;
  for (size_t i = 0; i < after.size(); ++i) {
    kept += std::fabs(after[i]);
    nonzero += after[i] != 0;
    CHECK((after[i] == 0 || after[i] == before[i]));
  }
  CHECK(nonzero <= keep);
  CHECK(kept == doctest::Approx(best));
}

TEST_CASE("N:M keeps the N largest of each M along the inputs") {
  for (const auto& [pattern, keep, total] :
       {std::tuple{"2:4", 2, 4}, {"1:3", 1, 3}, {"4:8", 4, 8}, {"5:32", 5, 32}}) {
    const ModelBuilder model = small_llama(DType::kBF16);
    const Pruned pruned = prune(model, {.options = {.pattern = pattern}});
    const std::string name = "model.layers.2.mlp.down_proj.weight";
    const std::vector<float> before = model.values(name);
    const std::vector<float> after = pruned.writer.values(name);
    for (int64_t r = 0; r < 64; ++r) {
      for (int64_t c = 0; c < 96; c += total) {
        const auto begin = r * 96 + c;
        check_group({before.begin() + begin, before.begin() + begin + total},
                    {after.begin() + begin, after.begin() + begin + total}, keep);
      }
    }
  }
}

TEST_CASE("N:M that does not divide a row leaves the rest of it alone") {
  const ModelBuilder model = small_llama();
  const Pruned pruned = prune(model, {.options = {.pattern = "1:7"}});
  const std::string name = "model.layers.0.self_attn.q_proj.weight";  // 64 = 9 * 7 + 1
  CHECK(zeros(pruned.writer.values(name)) == 64 * 9 * 6);
}

TEST_CASE("N:M of GPT-2 runs down the stored columns, which are the inputs") {
  const ModelBuilder model = small_gpt2();
  const Pruned pruned = prune(model, {.options = {.pattern = "2:4"}, .threads = 2});
  const std::string name = "transformer.h.1.attn.c_attn.weight";  // [32, 96]
  const std::vector<float> before = model.values(name);
  const std::vector<float> after = pruned.writer.values(name);
  for (int64_t c = 0; c < 96; ++c) {
    for (int64_t r = 0; r < 32; r += 4) {
      std::vector<float> b, a;
      for (int64_t i = 0; i < 4; ++i) {
        b.push_back(before[static_cast<size_t>((r + i) * 96 + c)]);
        a.push_back(after[static_cast<size_t>((r + i) * 96 + c)]);
      }
      check_group(b, a, 2);
    }
  }
}

TEST_CASE("2:4 packed in a stream holds the same numbers as dense") {
  for (bool gpt2 : {false, true}) {
    const ModelBuilder model = gpt2 ? small_gpt2(DType::kBF16) : small_llama(DType::kBF16);
    const Pruned dense = prune(model, {.options = {.pattern = "2:4"}});
    const Pruned packed = prune(model, {.options = {.pattern = "2:4"}, .packed = true});
    int64_t seen = 0;
    for (const PrunedTensor& tensor : packed.plan.tensors) {
      CAPTURE(tensor.name);
      const TensorInfo* info = packed.writer.find(tensor.name);
      const TensorInfo* index = packed.writer.find(tensor.name + "_index");
      CHECK(info->type == DType::kBF16);
      CHECK(index != nullptr);
      const int64_t rows = info->shape[0], columns = info->shape[1] * 2;
      CHECK(index->shape == std::vector<int64_t>{rows, columns / 8});
      std::vector<float> plain = dense.writer.values(tensor.name);
      if (gpt2) {  // dense stays [in, out], packed is [out, in]
        std::vector<float> turned(plain.size());
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t c = 0; c < columns; ++c) {
            turned[static_cast<size_t>(r * columns + c)] = plain[static_cast<size_t>(c * rows + r)];
          }
        }
        plain = turned;
      }
      const std::vector<float> kept = packed.writer.values(tensor.name);
      const test::Content positions = packed.writer.content(tensor.name + "_index");
      std::vector<float> row(static_cast<size_t>(columns));
      for (int64_t r = 0; r < rows; ++r) {
        expand_2_4(kept.data() + r * columns / 2, positions.data() + r * columns / 8, columns,
                   row.data());
        CHECK(std::equal(row.begin(), row.end(), plain.begin() + r * columns));
      }
      ++seen;
    }
    CHECK(seen == (gpt2 ? 8 : 21));
  }
}

TEST_CASE("threads do not change a byte") {
  for (const std::string pattern : {"unstructured", "2:4", "ffn", "rows"}) {
    PruneOptions options{.pattern = pattern, .sparsity = pattern == "2:4" ? "" : "0.5"};
    const ModelBuilder model = small_llama(DType::kBF16);
    const Pruned one = prune(model, {.options = options, .packed = true, .threads = 1});
    const Pruned three = prune(model, {.options = options, .packed = true, .threads = 3});
    CHECK(one.writer.all() == three.writer.all());
    CHECK(one.plan.tensors[0].statistics().removed_squares ==
          three.plan.tensors[0].statistics().removed_squares);
  }
}

TEST_CASE("include, exclude, and what may be named at all") {
  const ModelBuilder model = small_llama();
  const Pruned some = prune(
      model, {.options = {
                  .sparsity = "0.5", .include = {"mlp", "lm_head"}, .exclude = {"layers\\.1\\."}}});
  std::set<std::string> names;
  for (const PrunedTensor& tensor : some.plan.tensors) names.insert(tensor.name);
  CHECK(names.size() == 7);
  CHECK(names.count("lm_head.weight") == 1);
  CHECK(names.count("model.layers.1.mlp.up_proj.weight") == 0);
  CHECK_THROWS_AS(prune(model, {.options = {.sparsity = "0.5", .include = {"nothing"}}}), Error);
  CHECK_THROWS_AS(prune(model, {.options = {.sparsity = "0.5", .include = {"("}}}), Error);
}

TEST_CASE("options that do not fit are usage errors") {
  const std::vector<PruneOptions> bad = {
      {},
      {.pattern = "2:4", .sparsity = "0.4"},
      {.pattern = "4:2"},
      {.pattern = "2:64"},
      {.pattern = "2:"},
      {.pattern = "diagonal", .sparsity = "0.5"},
      {.sparsity = "1.0"},
      {.sparsity = "-0.1"},
      {.sparsity = "half"},
      {.sparsity = "0.5", .threshold = "0.1"},
      {.pattern = "ffn", .threshold = "0.1"},
      {.pattern = "2:4", .scope = "global"},
      {.pattern = "heads", .sparsity = "0.5", .include = {"mlp"}},
      {.sparsity = "0.5", .score = "astrology"},
      {.sparsity = "0.5", .scope = "galaxy"},
  };
  for (const PruneOptions& options : bad) {
    try {
      parse_prune_options(options);
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::kUsage);
    }
  }
  CHECK(parse_prune_options({.pattern = "2:4", .sparsity = "50%"}).sparsity == 0.5);
}

TEST_CASE("a weight that is no number has no score; a quantized model is refused") {
  for (const float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
    for (const DType type : {DType::kF32, DType::kBF16}) {  // BF16 is scored as it is stored
      for (const PruneOptions& options :
           {PruneOptions{.pattern = "2:4"}, PruneOptions{.sparsity = "0.5"},
            PruneOptions{.sparsity = "0.5", .scope = "global"}}) {
        ModelBuilder model = small_llama(type);
        model.set("model.layers.0.mlp.up_proj.weight", 64 * 3 + 5, bad);
        CHECK_THROWS_WITH_AS(
            prune(model, {.options = options}),
            doctest::Contains("'model.layers.0.mlp.up_proj.weight': element [3, 5] is"), Error);
      }
    }
  }
  const Pruned packed = prune(small_llama(), {.options = {.pattern = "2:4"}, .packed = true});
  MemoryReader again = packed.writer.reader(true);
  const ModelSpec spec = spec_from_checkpoint(again.header(), "memory");
  const PruneOptions options{.sparsity = "0.5"};
  const PruneRequest request = parse_prune_options(options);
  ThreadPool pool(1);
  const PrunePlanner planner{again, spec, options, request};
  CHECK_THROWS_WITH_AS(planner.plan(pool), doctest::Contains("already pruned to 2:4"), Error);
}

}  // namespace
}  // namespace hone
