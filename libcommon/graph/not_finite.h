// Where a step first leaves the numbers: the op whose result is NaN or infinite while all before it
// was finite, and the element of its weights that is to blame.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "libcommon/graph/weight_table.h"

namespace hone {

struct StepValues {
  const Graph& graph;
  const ModelSpec& spec;
  const WeightTable& weights;                        // in this process's memory
  std::function<std::vector<float>(int id)> result;  // what the step made of a value
};

// "tensor 'model.norm.weight': element [0, 3] is nan, read by final_norm (norm)"; "" where all
// results are finite.
std::string first_not_finite(const StepValues& step);

}  // namespace hone
