// Which chains fuse, what comes of them, and the reasons where they do not.
#include "libcommon/graph/rewrite.h"

#include <algorithm>
#include <map>

#include "tests/graph/specs.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

using namespace test;  // NOLINT

std::map<std::string, int> fused_counts(const Rewritten& rewritten) {
  std::map<std::string, int> counts;
  for (const Candidate& c : rewritten.candidates) {
    if (c.fused) ++counts[std::string(c.fusion->name)];
  }
  return counts;
}

std::vector<std::string> reasons(const Rewritten& rewritten, std::string_view fusion) {
  std::vector<std::string> texts;
  for (const Candidate& c : rewritten.candidates) {
    if (!c.fused && c.fusion->name == fusion) texts.push_back(c.reason);
  }
  return texts;
}

int count(const Graph& graph, OpKind op) {
  return static_cast<int>(std::count_if(graph.nodes.begin(), graph.nodes.end(),
                                        [&](const Node& node) { return node.op == op; }));
}

Rewritten rewritten(const MadeModel& model) {
  return rewrite(build_graph(model.spec), model.weights);
}

bool mentions(const std::vector<std::string>& texts, const std::string& part) {
  return std::any_of(texts.begin(), texts.end(),
                     [&](const std::string& text) { return text.find(part) != std::string::npos; });
}

TEST_CASE("a primitive graph has one node for each step of the formula") {
  const Graph graph = build_graph(made_llama(3).spec);
  CHECK(count(graph, OpKind::kMatmul) == 3 * 7 + 1);
  CHECK(count(graph, OpKind::kNorm) == 3 * 2 + 1);
  CHECK(count(graph, OpKind::kRope) == 3 * 2);
  CHECK(count(graph, OpKind::kAdd) == 3 * 2);
  CHECK(count(graph, OpKind::kAttention) == 3);
  CHECK(count(graph, OpKind::kGatherRows) == 1);
  CHECK(broken_rules(graph).empty());
  CHECK(graph.values[static_cast<size_t>(graph.output)].columns == 1000);
}

TEST_CASE("a llama's gate, qkv and residuals fuse in every layer") {
  const Rewritten result = rewritten(made_llama(3));
  const auto counts = fused_counts(result);
  CHECK(counts == std::map<std::string, int>{
                      {"gated-activation", 3}, {"gated-matmul", 3}, {"qkv", 3}, {"residual", 6}});
  CHECK(count(result.graph, OpKind::kMatmul) == 2 * 3 + 1);  // output, down; head
  CHECK(count(result.graph, OpKind::kAdd) == 0);
  CHECK(count(result.graph, OpKind::kUnary) == 0);
  CHECK(mentions(reasons(result, "residual-norm"), "already part of"));
}

TEST_CASE("a gpt2's biases, activations, residuals and first norm fuse") {
  const Rewritten result = rewritten(made_gpt2(2));
  const auto counts = fused_counts(result);
  CHECK(counts ==
        std::map<std::string, int>{
            {"activation", 2}, {"bias", 12}, {"qkv", 2}, {"residual", 4}, {"residual-norm", 1}});
  CHECK(count(result.graph, OpKind::kAddBias) == 0);
  const auto norm = std::find_if(result.graph.nodes.begin(), result.graph.nodes.end(),
                                 [](const Node& node) { return node.op == OpKind::kNorm; });
  CHECK(norm->inputs.size() == 2);
  CHECK(norm->outputs.size() == 2);
}

TEST_CASE("fused nodes keep weights in order, attributes and value ids") {
  const MadeModel model = made_llama(1);
  const Rewritten result = rewritten(model);
  for (const Node& node : result.graph.nodes) {
    if (node.op == OpKind::kGatedMatmul) {
      REQUIRE(node.weights.size() == 2);
      CHECK(node.weights[0].role == Role::kGate);
      CHECK(node.weights[1].role == Role::kUp);
      CHECK(node.attributes.activation == Activation::kSilu);
      CHECK(node.merged == std::vector<std::string>{"gated-activation", "gated-matmul"});
      CHECK(node.name == "layer 0 ffn.gate+ffn.up");
    }
    if (node.op == OpKind::kQkvMatmul) {
      REQUIRE(node.weights.size() == 3);
      CHECK(node.weights[0].role == Role::kQ);
      CHECK(node.weights[2].role == Role::kV);
      CHECK(result.graph.values[static_cast<size_t>(node.outputs[0])].columns == 512);
      CHECK(result.graph.values[static_cast<size_t>(node.outputs[1])].columns == 256);
    }
  }
  CHECK(result.graph.output == build_graph(model.spec).output);
}

TEST_CASE("siblings stored differently do not fuse, and the reason names both") {
  MadeModel model = made_llama(2);
  model.weights.matrices[{Role::kV, false, 1}] = view(256, 512, DType::kQ6_K);
  model.weights.matrices[{Role::kUp, false, 0}] = view(1024, 512, DType::kBF16);
  const Rewritten result = rewritten(model);
  CHECK(fused_counts(result)["qkv"] == 1);
  CHECK(fused_counts(result)["gated-matmul"] == 1);
  CHECK(mentions(reasons(result, "qkv"), "F32 and Q6_K"));
  CHECK(mentions(reasons(result, "gated-matmul"), "F32 and BF16"));
  CHECK(reasons(result, "qkv").size() == 2);  // the other: gate and up alone are too few
  CHECK(mentions(reasons(result, "qkv"), "fewer than 3"));
}

TEST_CASE("a bias on the gate keeps both products apart") {
  MadeModel model = made_llama(1);
  model.spec.layers[0].ffn.bias = true;
  model.weights = weights_for(build_graph(model.spec));
  const Rewritten result = rewritten(model);
  CHECK(fused_counts(result)["gated-matmul"] == 0);
  CHECK(fused_counts(result)["gated-activation"] == 1);
  CHECK(mentions(reasons(result, "gated-matmul"), "has a bias"));
}

TEST_CASE("a backend without a kernel keeps the chain") {
  const MadeModel model = made_llama(1);
  const Rewritten result =
      rewrite(build_graph(model.spec), model.weights,
              {.has_kernel = [](OpKind op) { return op != OpKind::kQkvMatmul; }});
  CHECK(fused_counts(result)["qkv"] == 0);
  CHECK(mentions(reasons(result, "qkv"), "no kernel for qkv_matmul"));
}

TEST_CASE("q and k norms stand between product and rope, and the head's norm behind a gather") {
  MadeModel model = made_llama(1);
  model.spec.layers[0].attention.qk_norm = true;
  model.weights = weights_for(build_graph(model.spec));
  const Rewritten result = rewritten(model);
  CHECK(fused_counts(result)["qkv"] == 1);  // rope and norms come after all three products
  CHECK(broken_rules(result.graph).empty());
}

// Of which rotary_attention is two launches.
TEST_CASE("where launches count a layer is five ops, with norms of heads and without") {
  for (const bool qk_norm : {false, true}) {
    const auto ops = [&](int64_t layers) {
      MadeModel model = made_llama(layers);
      for (LayerSpec& layer : model.spec.layers) layer.attention.qk_norm = qk_norm;
      model.weights = weights_for(build_graph(model.spec));
      const Rewritten result = rewrite(build_graph(model.spec), model.weights, {.few_ops = true});
      CHECK(fused_counts(result)["norm-rotary"] == (qk_norm ? layers : 0));
      CHECK(reasons(result, "norm-rotary").empty());
      return result.graph.nodes.size();
    };
    CHECK(ops(3) - ops(2) == 5);
  }
}

TEST_CASE("the rotation takes norms of heads in, of queries before those of keys") {
  MadeModel model = made_llama(1);
  model.spec.layers[0].attention.qk_norm = true;
  model.weights = weights_for(build_graph(model.spec));
  Graph graph = build_graph(model.spec);
  const Rewritten result = rewrite(graph, model.weights, {.few_ops = true});
  for (const Node& node : result.graph.nodes) {
    if (node.op != OpKind::kRotaryAttention) continue;
    REQUIRE(node.weights.size() == 2);
    CHECK(node.weights[0].role == Role::kQNorm);
    CHECK(node.weights[1].role == Role::kKNorm);
    CHECK(node.attributes.norm.eps == model.spec.norm.eps);
  }
  for (Node& node : graph.nodes) {  // of two heads together
    if (node.op == OpKind::kNorm && node.weights[0].role == Role::kKNorm) {
      node.attributes.norm_dim *= 2;
    }
  }
  const Rewritten wider = rewrite(graph, model.weights, {.few_ops = true});
  CHECK(fused_counts(wider)["norm-rotary"] == 0);
  CHECK(mentions(reasons(wider, "norm-rotary"), "not an RMS norm over whole heads"));
}

TEST_CASE("a value that others read does not vanish") {
  const MadeModel model = made_llama(1);
  Graph graph = build_graph(model.spec);
  // A second reader of the activated gate: its mul with itself, added to nothing else.
  const auto mul = std::find_if(graph.nodes.begin(), graph.nodes.end(),
                                [](const Node& node) { return node.op == OpKind::kMul; });
  Node extra = *mul;
  extra.name = "second reader";
  extra.inputs = {mul->inputs[0], mul->inputs[0]};
  graph.values.push_back({Rows::kTokens, 1024, "second"});
  extra.outputs = {static_cast<int>(graph.values.size()) - 1};
  graph.nodes.insert(mul + 1, extra);
  REQUIRE(broken_rules(graph).empty());
  const Rewritten result = rewrite(graph, model.weights);
  CHECK(fused_counts(result)["gated-activation"] == 0);
  CHECK(mentions(reasons(result, "gated-activation"), "3 consumers"));
  CHECK(fused_counts(result)["activation"] == 1);  // the gate's own
}

TEST_CASE("an op in between is named") {
  MadeModel model = made_llama(1);
  Graph graph = build_graph(model.spec);
  // Without the row that takes biases in, a bias stands between product and activation.
  model.spec.layers[0].ffn = {.dim = 1024, .gated = false, .bias = true};
  model.weights = weights_for(build_graph(model.spec));
  const std::vector<Fusion> rows = {*find_fusion("activation")};
  const Rewritten result = rewrite(build_graph(model.spec), model.weights, {.rows = rows});
  CHECK(fused_counts(result).empty());
  CHECK(mentions(reasons(result, "activation"), "ffn.up bias (add_bias) stands between"));
}

TEST_CASE("every row of the table parses and names a tolerance") {
  for (const Fusion& fusion : fusions()) {
    CAPTURE(std::string(fusion.name));
    CHECK(parse_pattern(fusion.chain).size() >= 2);
    CHECK(parse_pattern(fusion.fused).size() == 1);
    CHECK(tolerance(fusion.tolerance).relative > 0);
    CHECK(find_fusion(fusion.name) == &fusion);
  }
  CHECK(find_fusion("no such fusion") == nullptr);
}

TEST_CASE("patterns parse") {
  const auto steps = parse_pattern("y, s = norm(a, b); z = matmul+bias+activation(y)");
  REQUIRE(steps.size() == 2);
  CHECK(steps[0].op == OpKind::kNorm);
  CHECK(steps[0].outputs == std::vector<std::string>{"y", "s"});
  CHECK(steps[0].inputs == std::vector<std::string>{"a", "b"});
  CHECK_FALSE(steps[0].may_have_bias);
  CHECK(steps[1].may_have_bias);
  CHECK(steps[1].may_have_activation);
}

TEST_CASE("a broken graph is told with its node") {
  Graph graph = build_graph(made_llama(1).spec);
  SUBCASE("a value read before it is written") { std::swap(graph.nodes[1], graph.nodes[2]); }
  SUBCASE("a value written twice") { graph.nodes[3].outputs = graph.nodes[2].outputs; }
  SUBCASE("a width that does not fit") { graph.values[1].columns = 7; }
  SUBCASE("an unary without activation") {
    for (Node& node : graph.nodes) node.attributes.activation = Activation::kNone;
  }
  SUBCASE("a weight too many") {
    for (Node& node : graph.nodes) node.weights.push_back(WeightKey{Role::kQ, false, 0});
  }
  SUBCASE("no logits") { graph.nodes.pop_back(); }
  SUBCASE("a value that is not there") { graph.nodes[2].inputs = {12345}; }
  CHECK_FALSE(broken_rules(graph).empty());
}

}  // namespace
}  // namespace hone
