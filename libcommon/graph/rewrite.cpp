#include "libcommon/graph/rewrite.h"

#include <algorithm>
#include <memory>
#include <set>

#include "kernels/check.h"
#include "libcommon/graph/match.h"

namespace hone {
namespace {

bool contains(const std::vector<int>& list, int item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

// A fusion with both sides parsed.
struct ParsedRow {
  explicit ParsedRow(const Fusion& row)
      : fusion(row), chain(parse_pattern(row.chain)), fused(parse_pattern(row.fused)) {
    CHECK(fused.size() == 1);
  }
  const Fusion& fusion;
  std::vector<PatternStep> chain;
  std::vector<PatternStep> fused;
};

// ---- What a match must fulfil beyond its form. Each returns a reason, or "".

// Values that vanish may be read inside the match only.
std::string escaping_value(const GraphIndex& index, const ParsedRow& row, const Match& match) {
  for (size_t i = 0; i < row.chain.size(); ++i) {
    for (const std::string& variable : row.chain[i].outputs) {
      const auto& kept = row.fused[0].outputs;
      if (std::find(kept.begin(), kept.end(), variable) != kept.end()) continue;
      const std::vector<int>& readers = index.read_by(match.variables.at(variable));
      if (readers.size() == 1 && contains(match.nodes, readers[0])) continue;
      return "the result of " + index.node(match.nodes[i]).name + " has " +
             std::to_string(readers.size()) + " consumers";
    }
  }
  return "";
}

std::vector<WeightKey> matrices_of(const std::vector<Node>& chain) {
  std::vector<WeightKey> keys;
  for (const Node& node : chain) {
    for (const WeightKey& key : matrices_of(node)) keys.push_back(key);
  }
  return keys;
}

// A product applies an RMS norm over whole tokens on the way in, a rotation one over whole heads,
// and no other.
std::string unfit_norm(const GraphIndex& index, const std::vector<Node>& chain, const Node& fused) {
  if (fused.op == OpKind::kNorm) return "";
  const bool of_heads = fused.op == OpKind::kRotaryAttention;
  for (const Node& node : chain) {
    if (node.op != OpKind::kNorm) continue;
    const Attributes& a = node.attributes;
    const int64_t columns = index.graph.values[static_cast<size_t>(node.inputs[0])].columns;
    const int64_t whole = of_heads ? fused.attributes.head_dim : columns;
    if (a.norm.kind != NormKind::kRms || a.norm_dim != whole) {
      return node.name + " is not an RMS norm over whole " + (of_heads ? "heads" : "tokens");
    }
  }
  return "";
}

// One kernel runs over all matrices of a fused op: they must be stored alike.
std::string unlike_matrices(const std::vector<Node>& chain, const Node& fused,
                            const WeightTable& weights) {
  const std::vector<WeightKey> keys = matrices_of(chain);
  for (size_t i = 1; i < keys.size(); ++i) {
    const WeightView& a = weights.matrix(keys[0]);
    const WeightView& b = weights.matrix(keys[i]);
    const std::string names =
        std::string(role_name(keys[0].role)) + " and " + std::string(role_name(keys[i].role));
    if (a.columns != b.columns || (fused.op == OpKind::kGatedMatmul && a.rows != b.rows)) {
      return "shapes of " + names + " differ: [" + std::to_string(a.rows) + ", " +
             std::to_string(a.columns) + "] and [" + std::to_string(b.rows) + ", " +
             std::to_string(b.columns) + "]";
    }
    if (!same_storage(a, b)) {
      return "storage of " + names + " differs: " + storage_text(a) + " and " + storage_text(b);
    }
  }
  return "";
}

// ---- The new node.

std::string joined_names(const std::vector<Node>& chain) {
  std::string joined;
  for (const Node& node : chain) {
    if (node.op != OpKind::kMatmul) continue;
    const std::string role(role_name(node.weights[0].role));
    joined += joined.empty() ? node.name : "+" + role;
  }
  return joined.empty() ? chain.back().name : joined;
}

Node fused_node(const ParsedRow& row, const Match& match, const std::vector<Node>& chain) {
  const PatternStep& form = row.fused[0];
  Node node;
  node.op = form.op;
  for (const std::string& v : form.inputs) node.inputs.push_back(match.variables.at(v));
  for (const std::string& v : form.outputs) node.outputs.push_back(match.variables.at(v));
  node.attributes = chain.back().attributes;
  node.layer = chain.back().layer;
  node.name = joined_names(chain);
  for (const Node& part : chain) {
    node.weights.insert(node.weights.end(), part.weights.begin(), part.weights.end());
    node.merged.insert(node.merged.end(), part.merged.begin(), part.merged.end());
    const Attributes& a = part.attributes;
    if (a.activation != Activation::kNone) node.attributes.activation = a.activation;
    if (part.op == OpKind::kNorm) node.attributes.norm = a.norm;
    if (part.op == OpKind::kRope) {
      node.attributes.rotary = a.rotary;
      node.attributes.attention_factor = a.attention_factor;
    }
  }
  node.merged.emplace_back(row.fusion.name);
  return node;
}

// ---- Where it may stand.

// First and last index before which the fused node may be inserted: after all that it reads has
// been written, before any of what it writes is read by others. Empty (first > last): no such
// place.
std::pair<int, int> insertion_range(const GraphIndex& index, const Node& fused,
                                    const std::vector<int>& matched) {
  int first = 0;
  int last = static_cast<int>(index.graph.nodes.size());
  for (int id : fused.inputs) first = std::max(first, index.writer(id) + 1);
  for (int id : fused.outputs) {
    for (int reader : index.read_by(id)) {
      if (!contains(matched, reader)) last = std::min(last, reader);
    }
  }
  return {first, last};
}

Graph replace(const Graph& graph, const std::vector<int>& matched, const Node& fused, int before) {
  Graph result;
  result.values = graph.values;
  result.input = graph.input;
  result.output = graph.output;
  for (int i = 0; i <= static_cast<int>(graph.nodes.size()); ++i) {
    if (i == before) result.nodes.push_back(fused);
    const bool keep = i < static_cast<int>(graph.nodes.size()) && !contains(matched, i);
    if (keep) result.nodes.push_back(graph.nodes[static_cast<size_t>(i)]);
  }
  return result;
}

// ---- One row over the whole graph.

struct Trial {
  Candidate candidate;
  std::vector<int> nodes;  // indices of the matched nodes in the graph as it is now
  Graph graph;             // with the fusion applied; only where fused
};

Trial try_at(const GraphIndex& index, const ParsedRow& row, int anchor, const WeightTable& weights,
             const RewriteOptions& options) {
  const Match match = match_pattern(index, row.chain, anchor);
  Trial trial;
  for (int node : match.nodes) {
    if (node < 0) continue;
    trial.nodes.push_back(node);
    trial.candidate.chain.push_back(index.node(node));
  }
  Candidate& candidate = trial.candidate;
  candidate.fusion = &row.fusion;
  if (candidate.chain.empty()) return trial;
  candidate.layer = candidate.chain.back().layer;
  candidate.place = joined_names(candidate.chain);
  candidate.reason = match.reason;
  if (!match.whole()) return trial;

  const Node fused = fused_node(row, match, candidate.chain);
  const auto [first, last] = insertion_range(index, fused, match.nodes);
  candidate.reason = escaping_value(index, row, match);
  if (candidate.reason.empty()) candidate.reason = unfit_norm(index, candidate.chain, fused);
  if (candidate.reason.empty()) {
    candidate.reason = unlike_matrices(candidate.chain, fused, weights);
  }
  if (candidate.reason.empty() && options.has_kernel && !options.has_kernel(fused.op)) {
    candidate.reason = "this backend has no kernel for " + std::string(op_name(fused.op));
  }
  if (candidate.reason.empty() && first > last) {
    candidate.reason = index.node(first - 1).name + " stands between";
  }
  if (!candidate.reason.empty()) return trial;
  candidate.fused = true;
  candidate.result = fused;
  trial.graph = replace(index.graph, match.nodes, fused, std::clamp(anchor, first, last));
  return trial;
}

// Two ops of the chain are there, or a fused op already holds one: worth telling. Products and
// attention without what the chain has before them are nothing special.
bool is_near_miss(const Trial& trial) {
  if (trial.nodes.size() != 1) return trial.nodes.size() >= 2;
  const OpKind op = trial.candidate.chain[0].op;
  return op != OpKind::kMatmul && op != OpKind::kRotaryAttention;
}

// A failed try whose ops a fusion of the same row took, or another try covers, tells nothing new.
bool is_covered(const Candidate& small, const std::vector<Candidate>& all) {
  const auto writes = [](const Candidate& c) {
    std::set<int> ids;
    for (const Node& node : c.chain) ids.insert(node.outputs.begin(), node.outputs.end());
    return ids;
  };
  const std::set<int> own = writes(small);
  return std::any_of(all.begin(), all.end(), [&](const Candidate& other) {
    if (&other == &small) return false;
    const std::set<int> ids = writes(other);
    const bool larger = other.fused || ids.size() > own.size();
    return larger && std::includes(ids.begin(), ids.end(), own.begin(), own.end());
  });
}

void apply_row(Rewritten& state, const ParsedRow& row, const WeightTable& weights,
               const RewriteOptions& options) {
  std::vector<Candidate> found;
  auto index = std::make_unique<GraphIndex>(state.graph);
  for (int anchor = 0; anchor < static_cast<int>(state.graph.nodes.size()); ++anchor) {
    if (state.graph.nodes[static_cast<size_t>(anchor)].op != row.chain.back().op) continue;
    Trial trial = try_at(*index, row, anchor, weights, options);
    if (!trial.candidate.fused && !is_near_miss(trial)) continue;
    if (trial.candidate.fused) {
      // All before the first matched op has been visited; what follows moved down.
      anchor = *std::min_element(trial.nodes.begin(), trial.nodes.end()) - 1;
      state.graph = std::move(trial.graph);
      index = std::make_unique<GraphIndex>(state.graph);
    }
    found.push_back(std::move(trial.candidate));
  }
  for (const Candidate& candidate : found) {
    if (candidate.fused || !is_covered(candidate, found)) state.candidates.push_back(candidate);
  }
}

}  // namespace

Rewritten rewrite(Graph graph, const WeightTable& weights, const RewriteOptions& options) {
  Rewritten state = {.graph = std::move(graph), .candidates = {}};
  for (const Fusion& fusion : options.rows) {
    if (fusion.spares_launch && !options.few_ops) continue;
    apply_row(state, ParsedRow(fusion), weights, options);
    CHECK(broken_rules(state.graph).empty());
  }
  return state;
}

}  // namespace hone
