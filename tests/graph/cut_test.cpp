// A graph in two: both parts are sound, alone and fused, and one value crosses.
#include "libcommon/graph/cut.h"

#include "libcommon/graph/plan.h"
#include "libcommon/graph/rewrite.h"
#include "tests/graph/specs.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

using namespace test;  // NOLINT

TEST_CASE("every node is in one part, and the hidden state crosses") {
  for (const MadeModel& model : {made_llama(4), made_gpt2(4)}) {
    const Graph whole = build_graph(model.spec);
    for (int64_t layer = 1; layer < 4; ++layer) {
      const auto [first, rest] = cut_before(whole, layer);
      CHECK(first.nodes.size() + rest.nodes.size() == whole.nodes.size());
      CHECK(first.nodes.back().layer == layer - 1);
      CHECK(rest.nodes.front().layer == layer);
      CHECK(first.input == -1);
      CHECK(first.output == rest.input);
      CHECK(rest.output == whole.output);
      const Value& crossing = whole.values[static_cast<size_t>(rest.input)];
      CHECK(crossing.columns == model.spec.hidden);
      CHECK(crossing.rows == Rows::kTokens);
      CHECK(layers_of(first).first == 0);
      CHECK(layers_of(first).count == layer);
      CHECK(layers_of(rest).first == layer);
      CHECK(layers_of(rest).count == 4 - layer);
      CHECK(weights_of(first, model.weights).matrices.count({Role::kHead}) == 0);
      CHECK(weights_of(rest, model.weights).matrices.count({Role::kEmbedding}) == 0);
    }
  }
}

TEST_CASE("the parts together fuse what the whole does") {
  const MadeModel model = made_llama(4);
  const auto fused = [&](const Graph& graph) {
    return rewrite(graph, model.weights, {.few_ops = true}).graph.nodes.size();
  };
  const Graph whole = build_graph(model.spec);
  const auto [first, rest] = cut_before(whole, 2);
  CHECK(fused(first) + fused(rest) == fused(whole));
}

TEST_CASE("the hidden state has its place until it is read for the last time") {
  const PlanLimits limits = {.tokens = 8, .wanted = 1};
  const Graph rest = cut_before(build_graph(made_llama(4).spec), 2).second;
  Plan plan = plan_arena(rest, limits);
  const auto input = static_cast<size_t>(rest.input);
  REQUIRE(plan.offsets[input] >= 0);
  CHECK(plan.offsets[input] + value_bytes(rest.values[input], limits) <= plan.arena_bytes);
  plan.offsets[static_cast<size_t>(rest.nodes[0].outputs[0])] = plan.offsets[input];
  plan.over[static_cast<size_t>(rest.nodes[0].outputs[0])] = -1;
  CHECK_FALSE(overlaps(rest, plan, limits).empty());
}

}  // namespace
}  // namespace hone
