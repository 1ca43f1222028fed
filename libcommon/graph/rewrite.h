// Applies fusions to a graph, and says for each place where one nearly fits why it does not.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "libcommon/graph/fusions.h"
#include "libcommon/graph/graph.h"
#include "libcommon/graph/weight_table.h"

namespace hone {

// A place where a fusion was tried: its chain, or at least two ops of it, stands there.
struct Candidate {
  const Fusion* fusion = nullptr;
  int64_t layer = -1;
  std::string place;  // "layer 3 ffn.up": the op whose weights it has, else the last of it
  bool fused = false;
  std::string reason;       // why not; "" where fused
  std::vector<Node> chain;  // the ops as they stood before, in execution order
  Node result;              // what took their place; only where fused
};

struct Rewritten {
  Graph graph;
  std::vector<Candidate> candidates;  // in the order of the rows, then of the graph
};

struct RewriteOptions {
  std::span<const Fusion> rows = fusions();
  // True where the backend has a kernel for an op; unset: it has all.
  std::function<bool(OpKind)> has_kernel = {};
  bool few_ops = false;  // rows that spare launches, too
};

// Each row in turn, at every place. Value ids keep their meaning: a value that both graphs have is
// the same quantity in both. CHECKs the graph's rules after each row.
Rewritten rewrite(Graph graph, const WeightTable& weights, const RewriteOptions& options = {});

}  // namespace hone
