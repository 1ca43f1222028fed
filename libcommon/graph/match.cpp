#include "libcommon/graph/match.h"

#include <algorithm>
#include <optional>

namespace hone {
namespace {

bool commutes(OpKind op) { return op == OpKind::kAdd || op == OpKind::kMul; }

bool has_bias(const Node& node) {
  return std::any_of(node.weights.begin(), node.weights.end(),
                     [](const WeightKey& key) { return key.bias; });
}

std::string quoted(const Node& node) {
  return node.name + " (" + std::string(op_name(node.op)) + ")";
}

class Matcher {
 public:
  // Bit i of `swaps`: read the inputs of step i in the other order.
  Matcher(const GraphIndex& index, const std::vector<PatternStep>& steps, unsigned swaps)
      : index_(index), steps_(steps), swaps_(swaps) {
    match_.nodes.assign(steps.size(), -1);
  }

  Match run(int anchor) {
    place(steps_.size() - 1, anchor);
    for (size_t i = steps_.size() - 1; i-- > 0 && match_.whole();) {
      const std::optional<int> node = node_for(i);
      if (node) place(i, *node);
    }
    return std::move(match_);
  }

 private:
  void fail(const std::string& reason) {
    if (match_.reason.empty()) match_.reason = reason;
  }

  // The node of step i: whoever writes one of its outputs, else another reader of its input.
  std::optional<int> node_for(size_t i) {
    for (const std::string& output : steps_[i].outputs) {
      const auto bound = match_.variables.find(output);
      if (bound == match_.variables.end()) continue;
      const int writer = index_.writer(bound->second);
      if (writer < 0) fail("its input is made by no op");
      return writer < 0 ? std::nullopt : std::optional<int>(writer);
    }
    return sibling_for(i);
  }

  // Siblings read the same value; they are taken in execution order, so that the outputs of a row
  // like "q, k, v" name the first, second and third of them.
  std::optional<int> sibling_for(size_t i) {
    const auto input = match_.variables.find(steps_[i].inputs[0]);
    if (input != match_.variables.end()) {
      const std::vector<int>& readers = index_.read_by(input->second);
      for (auto reader = readers.rbegin(); reader != readers.rend(); ++reader) {
        if (*reader >= match_.nodes[i + 1]) continue;
        const Node& node = index_.node(*reader);
        if (node.op == steps_[i].op && node.inputs[0] == input->second) return *reader;
      }
    }
    fail("fewer than " + std::to_string(steps_.size()) + " ops of kind " +
         std::string(op_name(steps_[i].op)) + " read the same input");
    return std::nullopt;
  }

  void place(size_t i, int at) {
    const Node& node = index_.node(at);
    const PatternStep& step = steps_[i];
    if (node.op != step.op) return fail(wrong_op(at, step));
    match_.nodes[i] = at;
    check_carried(node, step);
    if (node.inputs.size() != step.inputs.size()) {
      return fail(quoted(node) + " already has a residual");
    }
    for (size_t k = 0; k < step.outputs.size(); ++k) bind(step.outputs[k], node.outputs[k]);
    for (size_t k = 0; k < step.inputs.size(); ++k) {
      const bool swap = (swaps_ >> i & 1u) != 0 && step.inputs.size() == 2;
      bind(step.inputs[k], node.inputs[swap ? 1 - k : k]);
    }
  }

  void bind(const std::string& variable, int value) {
    const auto [bound, is_new] = match_.variables.emplace(variable, value);
    if (!is_new && bound->second != value) fail("the ops read different inputs");
  }

  void check_carried(const Node& node, const PatternStep& step) {
    if (step.op != OpKind::kMatmul) return;
    if (has_bias(node) && !step.may_have_bias) {
      fail(quoted(node) + " has a bias, for which the fused op has no place");
    }
    if (node.attributes.activation != Activation::kNone && !step.may_have_activation) {
      fail(quoted(node) + " already applies an activation, which comes after what would be added");
    }
  }

  // Why the node that should be `step` is another: the wanted op stands behind it, or inside it.
  std::string wrong_op(int at, const PatternStep& step) const {
    const Node& node = index_.node(at);
    const std::string wanted(op_name(step.op));
    const auto& merged = node.merged;
    if (step.op == OpKind::kAdd && node.inputs.size() == 2 && node.op == OpKind::kMatmul) {
      return "its add is already part of " + quoted(node) + " (" + merged.back() + ")";
    }
    int behind = at;
    for (int hops = 0; hops < 2 && !index_.node(behind).inputs.empty(); ++hops) {
      behind = index_.writer(index_.node(behind).inputs[0]);
      if (behind < 0) break;
      if (index_.node(behind).op == step.op) return quoted(node) + " stands between";
    }
    return "its input comes from " + quoted(node) + ", not from " + wanted;
  }

  const GraphIndex& index_;
  const std::vector<PatternStep>& steps_;
  unsigned swaps_;
  Match match_;
};

}  // namespace

int Match::found() const {
  return static_cast<int>(std::count_if(nodes.begin(), nodes.end(), [](int n) { return n >= 0; }));
}

Match match_pattern(const GraphIndex& index, const std::vector<PatternStep>& steps, int anchor) {
  std::optional<Match> best;
  for (unsigned swaps = 0; swaps < 1u << steps.size(); ++swaps) {
    bool useful = true;
    for (size_t i = 0; i < steps.size(); ++i) {
      if ((swaps >> i & 1u) != 0 && !commutes(steps[i].op)) useful = false;
    }
    if (!useful) continue;
    Match match = Matcher(index, steps, swaps).run(anchor);
    if (match.whole()) return match;
    if (!best || match.found() > best->found()) best = std::move(match);
  }
  return *best;
}

}  // namespace hone
