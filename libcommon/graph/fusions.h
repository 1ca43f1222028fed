// The fusions that hone knows, one row each (fusions.cpp). A row is an equation between two little
// programs: wherever the left one stands in a graph, the right one may take its place.
//
//   "g = matmul(x); u = matmul(x); z = gated_activation(g, u)"   ->   "z = gated_matmul(x)"
//
// Variables are values. One that the left side uses but does not make comes from outside (x); one
// that it makes and the right side does not (g, u) vanishes, so nobody else may read it. add and
// mul match in both orders. A matmul of the left side is a bare product, unless it says what it may
// already carry: matmul+bias, matmul+bias+activation. The new op takes over the weights of the
// matched ops in the order in which the left side writes them, and their activation.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/graph/graph.h"

namespace hone {

struct Fusion {
  std::string_view name;       // "gated-ffn": what --require takes
  std::string_view chain;      // left side
  std::string_view fused;      // right side: one op
  std::string_view saves;      // for people
  std::string_view tolerance;  // a name in kTolerances
  bool spares_launch = false;  // pays only where every op costs a launch: Backend::few_ops()
};

// In order of preference: where two rows compete for an op, the earlier takes it.
std::span<const Fusion> fusions();
const Fusion* find_fusion(std::string_view name);  // null: none has that name

// How far a fused op may lie from its chain: largest difference over largest magnitude.
struct Tolerance {
  std::string_view name;
  double relative;
  std::string_view reason;
};
const Tolerance& tolerance(std::string_view name);  // CHECK that it exists

// ---- A row's two sides, parsed.
struct PatternStep {
  OpKind op = OpKind::kMatmul;
  bool may_have_bias = false;
  bool may_have_activation = false;
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
};

// CHECKs the grammar: the texts are part of the program.
std::vector<PatternStep> parse_pattern(std::string_view text);

}  // namespace hone
