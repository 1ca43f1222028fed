#include "libcommon/graph/plan.h"

#include <algorithm>
#include <utility>

#include "kernels/check.h"

namespace hone {
namespace {

// Which output may be written over which input (contracts in ops.h).
struct InPlace {
  OpKind op;
  size_t output;
  size_t input;
};

constexpr InPlace kInPlace[] = {
    {OpKind::kRope, 0, 0},
    {OpKind::kUnary, 0, 0},
    {OpKind::kAddBias, 0, 0},
    {OpKind::kAdd, 0, 0},
    {OpKind::kAdd, 0, 1},
    {OpKind::kMul, 0, 0},
    {OpKind::kMul, 0, 1},
    {OpKind::kGatedActivation, 0, 0},
    {OpKind::kGatedActivation, 0, 1},
    {OpKind::kMatmul, 0, 1},  // the residual
    {OpKind::kAllReduce, 0, 0},
    {OpKind::kNorm, 0, 0},
    {OpKind::kNorm, 1, 0},
    {OpKind::kNorm, 1, 1},
};

struct Block {
  int64_t begin = 0;
  int64_t end = 0;
};

class Planner {
 public:
  Planner(const Graph& graph, const PlanLimits& limits)
      : graph_(graph), limits_(limits), readers_(consumers(graph)) {
    plan_.offsets.assign(graph.values.size(), -1);
    plan_.over.assign(graph.values.size(), -1);
  }

  Plan run() {
    if (graph_.input >= 0) place(graph_.input);
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      place_outputs(static_cast<int>(i));
      if (limits_.reuse) release_dead(static_cast<int>(i));
    }
    CHECK(overlaps(graph_, plan_, limits_).empty());
    return std::move(plan_);
  }

 private:
  int64_t bytes(int id) const {
    return value_bytes(graph_.values[static_cast<size_t>(id)], limits_);
  }
  int64_t& offset(int id) { return plan_.offsets[static_cast<size_t>(id)]; }

  bool dies_at(int id, int node) const {
    const std::vector<int>& readers = readers_[static_cast<size_t>(id)];
    return readers.empty() || readers.back() <= node;
  }

  void place_outputs(int index) {
    const Node& node = graph_.nodes[static_cast<size_t>(index)];
    std::vector<int> taken;  // inputs already written over
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const int id = node.outputs[i];
      if (bytes(id) == 0) continue;
      const int under = limits_.reuse ? input_to_overwrite(index, i, taken) : -1;
      if (under < 0) {
        place(id);
        continue;
      }
      taken.push_back(under);
      plan_.sum_bytes += bytes(id);
      plan_.over[static_cast<size_t>(id)] = under;
      offset(id) = offset(under);
    }
  }

  void place(int id) {
    plan_.sum_bytes += bytes(id);
    offset(id) = best_fit(bytes(id));
    const Block block = {offset(id), offset(id) + bytes(id)};
    const auto at = std::find_if(live_.begin(), live_.end(),
                                 [&](const Block& b) { return b.begin >= block.begin; });
    live_.insert(at, block);
    plan_.arena_bytes = std::max(plan_.arena_bytes, block.end);
  }

  int input_to_overwrite(int index, size_t output, const std::vector<int>& taken) const {
    const Node& node = graph_.nodes[static_cast<size_t>(index)];
    for (const InPlace& rule : kInPlace) {
      if (rule.op != node.op || rule.output != output || rule.input >= node.inputs.size()) continue;
      const int id = node.inputs[rule.input];
      const auto reads = std::count(node.inputs.begin(), node.inputs.end(), id);
      const bool free = std::find(taken.begin(), taken.end(), id) == taken.end();
      if (free && reads == 1 && dies_at(id, index) && bytes(id) == bytes(node.outputs[output])) {
        return id;
      }
    }
    return -1;
  }

  // Start of the smallest gap between live blocks that holds `size`; after the last, where none
  // does.
  int64_t best_fit(int64_t size) const {
    int64_t best = -1;
    int64_t best_gap = 0;
    int64_t cursor = 0;
    for (const Block& block : live_) {
      const int64_t gap = block.begin - cursor;
      if (gap >= size && (best < 0 || gap < best_gap)) {
        best = cursor;
        best_gap = gap;
      }
      cursor = block.end;
    }
    return best >= 0 ? best : cursor;
  }

  void release_dead(int index) {
    const Node& node = graph_.nodes[static_cast<size_t>(index)];
    std::vector<int> ids = node.inputs;
    ids.insert(ids.end(), node.outputs.begin(), node.outputs.end());
    for (int id : ids) {
      if (offset(id) < 0 || !dies_at(id, index) || was_overwritten(node, id)) continue;
      const auto at = std::find_if(live_.begin(), live_.end(),
                                   [&](const Block& b) { return b.begin == offset(id); });
      if (at != live_.end()) live_.erase(at);
    }
  }

  bool was_overwritten(const Node& node, int id) const {
    return std::any_of(node.outputs.begin(), node.outputs.end(),
                       [&](int out) { return plan_.over[static_cast<size_t>(out)] == id; });
  }

  const Graph& graph_;
  const PlanLimits& limits_;
  std::vector<std::vector<int>> readers_;
  std::vector<Block> live_;  // by offset
  Plan plan_;
};

struct Life {
  int id;
  int from;
  int to;
};

}  // namespace

int64_t value_bytes(const Value& value, const PlanLimits& limits) {
  if (value.rows == Rows::kState) return 0;
  const int64_t rows = value.rows == Rows::kTokens ? limits.tokens : limits.wanted;
  const int64_t bytes = rows * value.columns * static_cast<int64_t>(sizeof(float));
  return (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
}

Plan plan_arena(const Graph& graph, const PlanLimits& limits) {
  return Planner(graph, limits).run();
}

std::vector<std::string> overlaps(const Graph& graph, const Plan& plan, const PlanLimits& limits) {
  const std::vector<std::vector<int>> readers = consumers(graph);
  std::vector<std::string> found;
  std::vector<Life> live;
  if (graph.input >= 0) {
    live.push_back({graph.input, -1, readers[static_cast<size_t>(graph.input)].back()});
  }
  for (int node = 0; node < static_cast<int>(graph.nodes.size()); ++node) {
    std::erase_if(live, [&](const Life& life) { return limits.reuse && life.to < node; });
    for (int id : graph.nodes[static_cast<size_t>(node)].outputs) {
      const auto at = static_cast<size_t>(id);
      if (plan.offsets[at] < 0) continue;
      const int64_t begin = plan.offsets[at];
      const int64_t end = begin + value_bytes(graph.values[at], limits);
      for (const Life& other : live) {
        const auto o = static_cast<size_t>(other.id);
        if (plan.over[at] == other.id && other.to <= node) continue;
        const int64_t other_end = plan.offsets[o] + value_bytes(graph.values[o], limits);
        if (begin < other_end && plan.offsets[o] < end) {
          found.push_back(graph.values[at].name + " and " + graph.values[o].name + " at " +
                          graph.nodes[static_cast<size_t>(node)].name);
        }
      }
      live.push_back({id, node, readers[at].empty() ? node : readers[at].back()});
    }
  }
  return found;
}

}  // namespace hone
