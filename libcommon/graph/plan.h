// A place for every value in one arena. A value lives from the node that writes it to the last that
// reads it; two values may share bytes when their lives do not meet. Each goes where the smallest
// gap holds it (best fit), or, where the op allows it and the input dies there, over its input.
#pragma once

#include <cstdint>
#include <vector>

#include "libcommon/graph/graph.h"

namespace hone {

struct PlanLimits {
  int64_t tokens = 1;  // rows of values of kind kTokens
  int64_t wanted = 1;  // rows of values of kind kWanted
  bool reuse = true;   // false: every value has bytes of its own, and can be looked at afterwards
};

struct Plan {
  std::vector<int64_t> offsets;  // bytes from the arena's start, by value id; -1: no buffer
  std::vector<int> over;         // id of the input that the value is written over, or -1
  int64_t arena_bytes = 0;       // the peak
  int64_t sum_bytes = 0;         // of all values, had each bytes of its own
};

inline constexpr int64_t kArenaAlignment = 64;

Plan plan_arena(const Graph& graph, const PlanLimits& limits);

// Bytes of a value, rounded up to the alignment; 0 for kState.
int64_t value_bytes(const Value& value, const PlanLimits& limits);

// Pairs of values that share bytes while both are alive, as "a and b at node n"; none in a plan of
// plan_arena(), which CHECKs it.
std::vector<std::string> overlaps(const Graph& graph, const Plan& plan, const PlanLimits& limits);

}  // namespace hone
