// What ops cost, from shapes and storage alone: bytes moved, floating-point operations, launches.
#pragma once

#include <cstdint>
#include <span>

#include "libcommon/graph/graph.h"
#include "libcommon/graph/rewrite.h"
#include "libcommon/graph/weight_table.h"

namespace hone {

// The step that is costed: `tokens` rows, `wanted` of them with logits, each attending to `depth`
// positions.
struct CostShape {
  int64_t tokens = 1;
  int64_t wanted = 1;
  int64_t depth = 0;
  DType kv_type = DType::kF32;  // of the cache's elements
};

struct Cost {
  int64_t weight_bytes = 0;      // weights as stored, read once
  int64_t cache_bytes = 0;       // keys and values read and written
  int64_t activation_bytes = 0;  // inputs read, outputs written
  double flops = 0;              // a multiply-add is two
  int64_t launches = 0;

  int64_t bytes() const { return weight_bytes + cache_bytes + activation_bytes; }
};
Cost operator+(const Cost& a, const Cost& b);
Cost operator-(const Cost& a, const Cost& b);

Cost node_cost(const Graph& graph, const Node& node, const WeightTable& weights,
               const CostShape& shape);
Cost total_cost(const Graph& graph, std::span<const Node> nodes, const WeightTable& weights,
                const CostShape& shape);

// A candidate's chain before and after. `fusion_factor` is the chain's computation over its data
// dependence: FLOPs per byte that must still cross its border once it is one op (inputs, weights,
// outputs). The larger, the more work a fused kernel has for each byte it waits for.
struct FusionCost {
  Cost chain;
  Cost fused;
  Cost saved;
  double fusion_factor = 0;
};

// A candidate that did not fuse is costed as if it had: its intermediates vanish.
FusionCost fusion_cost(const Graph& graph, const Candidate& candidate, const WeightTable& weights,
                       const CostShape& shape);

}  // namespace hone
