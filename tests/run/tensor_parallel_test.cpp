// One model over several ranks: the same tokens as one rank gives, in every architecture and
// storage. Ranks are threads here; tests/cli runs them as processes.
#include "libcommon/base/error.h"
#include "libcommon/graph/rewrite.h"
#include "libcommon/model/shard.h"
#include "libcommon/run/batch.h"
#include "libcommon/run/sampler.h"
#include "libcommon/run/session.h"
#include "tests/run/stored_model.h"
#include "tests/support/thread_ranks.h"

namespace hone {
namespace {

using namespace test;  // NOLINT

// Logits of two ranks against one's: sums in another order, through all layers.
constexpr double kOtherOrder = 1e-5;
// Where activations are rounded to int8 in runs, the same runs on all ranks, an order may turn a
// rounding.
constexpr double kOtherRounding = 0.01;
// Where a token's activations share one scale (W8A8, fp8), a rank's part of them has its own.
constexpr double kOtherScale = 0.05;

using Model = std::shared_ptr<const LoadedModel>;

struct Computed {
  std::vector<float> logits;  // of all tokens of the prompt
  std::vector<int32_t> ids;   // a greedy continuation
};

Computed compute(const Model& model, const SessionOptions& options,
                 const std::vector<int32_t>& prompt) {
  const auto session = Session::create(model, options);
  Computed result;
  result.logits = copy(session->step(steps(prompt)));
  const GenerateRequest request = {.ids = prompt, .max_new = 16, .stop_ids = {}, .sampler = {}};
  result.ids = generate(*session, {&request, 1})[0].ids;
  return result;
}

// On `count` ranks, which must all get the same bytes.
Computed compute_on(int count, const Model& model, const SessionOptions& options,
                    const std::vector<int32_t>& prompt) {
  std::vector<Computed> results(static_cast<size_t>(count));
  on_ranks(count, [&](Communicator& ranks) {
    SessionOptions own = options;
    own.ranks = &ranks;
    own.threads = 1;
    results[static_cast<size_t>(ranks.rank())] = compute(model, own, prompt);
  });
  for (const Computed& result : results) {
    CHECK(result.logits == results[0].logits);
    CHECK(result.ids == results[0].ids);
  }
  return results[0];
}

std::vector<int32_t> prompt_of(size_t length, int64_t vocab) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < length; ++i) ids.push_back(static_cast<int32_t>((i * 37 + 5) % vocab));
  return ids;
}

TEST_CASE("ranks give the tokens of one rank: every tiny model that they can share") {
  for (const std::string& name : tiny_models()) {
    const Model model = load(testdata(name));
    const int64_t heads = model->spec.layers[0].attention.heads;
    const std::vector<int32_t> prompt = prompt_of(9, model->spec.vocab);
    for (const char* device : {"ref", "cpu"}) {
      for (const bool fuse : {false, true}) {
        const SessionOptions options = {.device = device, .context = 32, .fuse = fuse};
        const Computed one = compute(model, options, prompt);
        for (const int count : {2, 4, 5}) {
          if (heads % count != 0) continue;
          CAPTURE(name);
          CAPTURE(device);
          CAPTURE(fuse);
          CAPTURE(count);
          const Computed shared = compute_on(count, model, options, prompt);
          CHECK(shared.ids == one.ids);
          CHECK(relative_error(shared.logits, one.logits) <= kOtherOrder);
        }
      }
    }
  }
}

TEST_CASE("a layer has two sums, and a sum comes before the residual") {
  const Model model = load(testdata("tiny-gpt2"));
  for (int rank : {0, 1}) {
    const auto part = shard_model(model, {rank, 2});
    const WeightTable weights = weight_table(*part);
    const Graph graph = rewrite(build_graph(part->spec), weights).graph;
    const auto count = [&](OpKind op) {
      return std::ranges::count_if(graph.nodes, [&](const Node& node) { return node.op == op; });
    };
    CHECK(count(OpKind::kAllReduce) == 2 * static_cast<int64_t>(part->layers.size()));
    CHECK(count(OpKind::kAllGather) == 1);
    for (const Node& node : graph.nodes) {
      const bool cut_by_inputs =
          node.op == OpKind::kMatmul &&
          (node.weights[0].role == Role::kAttentionOutput || node.weights[0].role == Role::kDown);
      if (!cut_by_inputs) continue;
      CHECK(node.inputs.size() == 1);
      CHECK(node.weights.size() == (rank == 0 ? 2 : 1));  // the first rank has the bias
    }
  }
}

TEST_CASE("two ranks give the official implementation's tokens") {
  for (const std::string name : {"tiny-llama", "tiny-qwen3", "tiny-gpt2"}) {
    CAPTURE(name);
    const Model model = load(testdata(name));
    const Json expected = read_json(testdata(name) + "/expected.json").at("prompts").back();
    const std::vector<int32_t> ids = expected.at("ids");
    const std::vector<int32_t> greedy_ids = expected.at("greedy");
    on_ranks(2, [&](Communicator& ranks) {
      const auto session = Session::create(model, {.device = "cpu", .threads = 1, .ranks = &ranks});
      const GenerateRequest request = {.ids = ids,
                                       .max_new = static_cast<int64_t>(greedy_ids.size()),
                                       .stop_ids = {},
                                       .sampler = {}};
      CHECK(generate(*session, {&request, 1})[0].ids == greedy_ids);
    });
  }
}

// A story: the model is sure how it goes on. Long enough for sums in slices, 64 x 256.
std::vector<int32_t> story() {
  const Json prompt = read_json(testdata("storyteller") + "/expected.json").at("prompts")[0];
  std::vector<int32_t> ids = prompt.at("ids");
  const std::vector<int32_t> rest = prompt.at("greedy");
  ids.insert(ids.end(), rest.begin(), rest.end());
  return ids;
}

TEST_CASE("ranks give the tokens of one rank: every storage, a sum in slices") {
  const std::vector<int32_t> prompt = story();
  REQUIRE(prompt.size() >= 64);
  const struct {
    std::string scheme;
    bool sparse = false;
  } rows[] = {{""},     {"f16"},  {"f32"},  {"w8a16"},  {"w4a16"},       {"w4a16-asym"}, {"w3a16"},
              {"w8a8"}, {"q8_0"}, {"q4_0"}, {"", true}, {"w4a16", true}, {"fp8"}};
  for (const auto& row : rows) {
    CAPTURE(row.scheme);
    CAPTURE(row.sparse);
    const StoredModel stored(row.scheme, row.sparse);
    const bool one_scale = row.scheme == "w8a8" || row.scheme == "fp8";
    for (const Compute arithmetic : {Compute::kF32, Compute::kAuto}) {
      const SessionOptions options = {.device = "cpu", .context = 128, .compute = arithmetic};
      const Computed one = compute(stored.model(), options, prompt);
      const Computed two = compute_on(2, stored.model(), options, prompt);
      const double error = relative_error(two.logits, one.logits);
      CHECK(error <= (one_scale                      ? kOtherScale
                      : arithmetic == Compute::kAuto ? kOtherRounding
                                                     : kOtherOrder));
      CHECK(two.ids == one.ids);
      if (std::getenv("HONE_PRINT_ERRORS")) {
        MESSAGE(row.scheme << (row.sparse ? " 2:4 " : " ") << error);
      }
    }
  }
}

TEST_CASE("what ranks cannot share is refused with the figures") {
  const auto refused = [](const Model& model, int count) -> std::string {
    try {
      shard_model(model, {0, count});
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::kUsage);
      return error.what();
    }
    return "";
  };
  const Model llama = load(testdata("tiny-llama"));
  CHECK(refused(llama, 3) == llama->subject + ": 4 heads; 3 ranks cannot share them");
  const StoredModel grouped("w4a16", false);
  CHECK(refused(grouped.model(), 2).empty());
  CHECK(refused(grouped.model(), 4) ==
        grouped.model()->subject +
            ": attention outputs stored in units of 128 columns, and 64 columns for each rank; 4 "
            "ranks cannot share them");
}

}  // namespace
}  // namespace hone
