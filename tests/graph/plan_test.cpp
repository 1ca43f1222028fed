// The arena: no two living values share bytes, and far less is held than all values together.
#include "libcommon/graph/plan.h"

#include <algorithm>

#include "libcommon/graph/cost.h"
#include "libcommon/graph/cut.h"
#include "libcommon/graph/rewrite.h"
#include "tests/graph/specs.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

using namespace test;  // NOLINT

std::vector<Graph> graphs() {
  std::vector<Graph> all;
  for (const MadeModel& model : {made_llama(4), made_gpt2(4)}) {
    all.push_back(build_graph(model.spec));
    all.push_back(rewrite(all.back(), model.weights).graph);
    all.push_back(rewrite(cut_before(all[all.size() - 2], 2).second, model.weights).graph);
  }
  return all;
}

TEST_CASE("living values never overlap") {
  for (const Graph& graph : graphs()) {
    for (const PlanLimits limits :
         {PlanLimits{1, 1, true}, PlanLimits{512, 3, true}, PlanLimits{7, 7, false}}) {
      const Plan plan = plan_arena(graph, limits);
      CHECK(overlaps(graph, plan, limits).empty());
      for (size_t i = 0; i < graph.values.size(); ++i) {
        if (plan.offsets[i] < 0) continue;
        CHECK(plan.offsets[i] % kArenaAlignment == 0);
        CHECK(plan.offsets[i] + value_bytes(graph.values[i], limits) <= plan.arena_bytes);
      }
    }
  }
}

TEST_CASE("memory does not grow with the number of layers") {
  const PlanLimits limits = {.tokens = 64, .wanted = 1};
  const Plan two = plan_arena(build_graph(made_llama(2).spec), limits);
  const Plan many = plan_arena(build_graph(made_llama(20).spec), limits);
  CHECK(many.arena_bytes == two.arena_bytes);
  CHECK(many.sum_bytes > 8 * two.sum_bytes);
  CHECK(two.arena_bytes < two.sum_bytes);
}

TEST_CASE("without reuse every value has bytes of its own") {
  const PlanLimits limits = {.tokens = 8, .wanted = 8, .reuse = false};
  const Plan plan = plan_arena(build_graph(made_llama(3).spec), limits);
  CHECK(plan.arena_bytes == plan.sum_bytes);
}

TEST_CASE("an overlap is found and told") {
  const Graph graph = build_graph(made_llama(2).spec);
  const PlanLimits limits = {.tokens = 8, .wanted = 1};
  Plan plan = plan_arena(graph, limits);
  // The residual stream lives through a layer's attention: put a product of it on top.
  const Node& norm = graph.nodes[1];
  const Node& q = graph.nodes[2];
  plan.offsets[static_cast<size_t>(q.outputs[0])] =
      plan.offsets[static_cast<size_t>(norm.inputs[0])];
  plan.over[static_cast<size_t>(q.outputs[0])] = -1;
  CHECK_FALSE(overlaps(graph, plan, limits).empty());
}

TEST_CASE("costs are those of the formulas") {
  const MadeModel model = made_llama(1);
  const Graph graph = build_graph(model.spec);
  const CostShape shape = {.tokens = 4, .wanted = 1, .depth = 0};
  const auto q = std::find_if(graph.nodes.begin(), graph.nodes.end(),
                              [](const Node& node) { return node.op == OpKind::kMatmul; });
  const Cost cost = node_cost(graph, *q, model.weights, shape);
  CHECK(cost.weight_bytes == 512 * 512 * 4);
  CHECK(cost.activation_bytes == 4 * (512 + 512) * 4);
  CHECK(cost.flops == 2.0 * 4 * 512 * 512);
  CHECK(cost.launches == 1);

  const Rewritten fused = rewrite(graph, model.weights);
  for (const Candidate& candidate : fused.candidates) {
    const FusionCost of = fusion_cost(graph, candidate, model.weights, shape);
    CHECK(of.fusion_factor > 0);
    if (!candidate.fused) continue;
    CHECK(of.saved.launches == static_cast<int64_t>(candidate.chain.size()) - 1);
    CHECK(of.saved.activation_bytes > 0);
    CHECK(of.saved.weight_bytes == 0);
    CHECK(of.saved.flops == 0);
    if (candidate.fusion->name == "residual") {  // the product is neither written nor read again
      CHECK(of.saved.activation_bytes == 2 * 4 * 512 * 4);
    }
  }
  const Cost before = total_cost(graph, graph.nodes, model.weights, shape);
  const Cost after = total_cost(fused.graph, fused.graph.nodes, model.weights, shape);
  CHECK(after.flops == before.flops);
  CHECK(after.weight_bytes == before.weight_bytes);
  CHECK(after.activation_bytes < before.activation_bytes);
}

TEST_CASE("siblings that round their input to int8 do it once when fused") {
  MadeModel model = made_llama(1);
  for (auto& [key, matrix] : model.weights.matrices) matrix.quantize_input = key.layer >= 0;
  const Graph graph = build_graph(model.spec);
  for (const Candidate& candidate : rewrite(graph, model.weights).candidates) {
    if (candidate.fusion->name != "qkv") continue;
    const FusionCost cost = fusion_cost(graph, candidate, model.weights, {.tokens = 3});
    CHECK(cost.saved.flops == 2 * 2.0 * 3 * 512);
  }
}

}  // namespace
}  // namespace hone
