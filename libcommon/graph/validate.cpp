// What must hold in every graph, as a table of (rule, test of one node). Checked after building and
// after every fusion, so that a wrong rewrite is found where it is made.
#include <algorithm>
#include <string>

#include "libcommon/graph/graph.h"

namespace hone {
namespace {

struct Place {
  const Graph& graph;
  const Node& node;
  int index;
  const std::vector<int>& producer;

  const Value& in(size_t i) const { return value(node.inputs[i]); }
  const Value& out(size_t i) const { return value(node.outputs[i]); }
  const Value& value(int id) const { return graph.values[static_cast<size_t>(id)]; }
};

bool in_range(const Graph& graph, const std::vector<int>& ids) {
  const int count = static_cast<int>(graph.values.size());
  return std::all_of(ids.begin(), ids.end(), [&](int id) { return id >= 0 && id < count; });
}

bool counts_fit(const Place& p) {
  const OpInfo& op = info(p.node.op);
  const size_t in = p.node.inputs.size();
  const size_t out = p.node.outputs.size();
  if (in < op.inputs_from || in > op.inputs_to) return false;
  if (out < op.outputs_from || out > op.outputs_to) return false;
  return p.node.op != OpKind::kNorm || in == out;  // a norm has a sum exactly with a residual
}

bool inputs_written_before(const Place& p) {
  return std::all_of(p.node.inputs.begin(), p.node.inputs.end(), [&](int id) {
    const int by = p.producer[static_cast<size_t>(id)];
    return id == p.graph.input || (by >= 0 && by < p.index);
  });
}

bool outputs_written_once(const Place& p) {
  return std::all_of(p.node.outputs.begin(), p.node.outputs.end(),
                     [&](int id) { return p.producer[static_cast<size_t>(id)] == p.index; });
}

bool rows_agree(const Place& p) {
  if (p.node.op == OpKind::kGatherRows) {
    return p.in(0).rows == Rows::kTokens && p.out(0).rows == Rows::kWanted;
  }
  if (p.node.op == OpKind::kKvStore) return p.out(0).rows == Rows::kState;
  if (p.node.op == OpKind::kAttention && p.in(1).rows != Rows::kState) return false;
  const Rows rows = p.out(0).rows;
  const size_t inputs = p.node.op == OpKind::kAttention ? 1 : p.node.inputs.size();
  for (size_t i = 0; i < inputs; ++i) {
    if (p.in(i).rows != rows) return false;
  }
  return rows != Rows::kState;
}

// Ops that work element by element, and residuals, need equal widths.
bool columns_agree(const Place& p) {
  switch (p.node.op) {
    case OpKind::kEmbed:
    case OpKind::kGatedMatmul:
    case OpKind::kQkvMatmul:
    case OpKind::kAttention:
    case OpKind::kRotaryAttention:
    case OpKind::kAllGather:
      return true;
    case OpKind::kMatmul:
      return p.node.inputs.size() < 2 || p.in(1).columns == p.out(0).columns;
    case OpKind::kKvStore:
      return p.in(0).columns == p.in(1).columns;
    default:
      break;
  }
  for (size_t i = 0; i < p.node.inputs.size(); ++i) {
    if (p.in(i).columns != p.out(0).columns) return false;
  }
  return true;
}

bool heads_fit(const Place& p) {
  const Attributes& a = p.node.attributes;
  switch (p.node.op) {
    case OpKind::kRope:
      return p.in(0).columns == a.heads * a.head_dim && a.rotary % 2 == 0 && a.rotary <= a.head_dim;
    case OpKind::kKvStore:
      return p.in(0).columns == a.kv_heads * a.head_dim;
    case OpKind::kAttention:
      return p.in(0).columns == a.heads * a.head_dim && a.kv_heads > 0 &&
             a.heads % a.kv_heads == 0 && p.out(0).columns == p.in(0).columns;
    case OpKind::kRotaryAttention:
      return p.in(0).columns == a.heads * a.head_dim && a.kv_heads > 0 &&
             a.heads % a.kv_heads == 0 && p.out(0).columns == p.in(0).columns &&
             p.in(1).columns == a.kv_heads * a.head_dim && p.in(2).columns == p.in(1).columns;
    case OpKind::kNorm:
      return a.norm_dim > 0 && p.out(0).columns % a.norm_dim == 0;
    default:
      return true;
  }
}

bool weights_fit(const Place& p) {
  const auto& weights = p.node.weights;
  const auto biases = static_cast<size_t>(
      std::count_if(weights.begin(), weights.end(), [](auto& w) { return w.bias; }));
  const auto plain = static_cast<ptrdiff_t>(matrices_of(p.node).size());
  switch (p.node.op) {
    case OpKind::kNorm:
      return plain == 0 && weights.size() - biases == 1 && biases <= 1;
    case OpKind::kMatmul:
      return plain == 1 && biases <= 1;
    case OpKind::kGatedMatmul:
      return plain == 2 && biases == 0;
    case OpKind::kQkvMatmul:
      return plain == 3 && biases <= 3 && !weights[0].bias;
    case OpKind::kAddBias:
      return plain == 0 && biases == 1;
    case OpKind::kEmbed:
      return plain == 1 && biases == 0;
    case OpKind::kRotaryAttention:  // norms of q and k, or none
      return plain == 0 && biases == 0 && (weights.empty() || weights.size() == 2);
    default:
      return weights.empty();
  }
}

bool activation_fits(const Place& p) {
  const bool has = p.node.attributes.activation != Activation::kNone;
  switch (p.node.op) {
    case OpKind::kUnary:
    case OpKind::kGatedActivation:
    case OpKind::kGatedMatmul:
      return has;
    case OpKind::kMatmul:
      return true;
    default:
      return !has;
  }
}

struct Rule {
  std::string_view text;
  bool (*holds)(const Place&);
};

// In this order: later rules rely on earlier ones.
constexpr Rule kRules[] = {
    {"the op has as many inputs and outputs as it takes", counts_fit},
    {"every input is the graph's or written by an earlier node", inputs_written_before},
    {"every output is written by this node alone", outputs_written_once},
    {"inputs and outputs have the same kind of rows", rows_agree},
    {"widths agree", columns_agree},
    {"heads and widths agree", heads_fit},
    {"weights and biases are as many as the op takes", weights_fit},
    {"an activation stands where the op applies one", activation_fits},
};

}  // namespace

std::vector<std::string> broken_rules(const Graph& graph) {
  std::vector<std::string> broken;
  for (const Node& node : graph.nodes) {
    if (!in_range(graph, node.inputs) || !in_range(graph, node.outputs)) {
      return {node.name + ": a value that does not exist"};
    }
  }
  const std::vector<int> producer = producers(graph);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Place place = {graph, graph.nodes[i], static_cast<int>(i), producer};
    for (const Rule& rule : kRules) {
      if (rule.holds(place)) continue;
      broken.push_back(place.node.name + " (" + std::string(op_name(place.node.op)) +
                       "): broken rule: " + std::string(rule.text));
      break;
    }
  }
  const bool has_output = in_range(graph, {graph.output}) &&
                          producer[static_cast<size_t>(graph.output)] >= 0 &&
                          graph.values[static_cast<size_t>(graph.output)].rows != Rows::kState;
  if (!has_output) broken.push_back("broken rule: the output is written by a node");
  return broken;
}

}  // namespace hone
