#include "libcommon/graph/not_finite.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "kernels/codec/codec.h"

namespace hone {
namespace {

// Index of the first NaN or infinity; -1: there is none.
int64_t find_not_finite(std::span<const float> values) {
  const auto found = std::ranges::find_if_not(values, [](float v) { return std::isfinite(v); });
  return found == values.end() ? -1 : found - values.begin();
}

std::string number_text(float value) {
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

// A tied head is the embedding.
const TensorSpec* tensor_of(const ModelSpec& spec, const WeightKey& key) {
  const bool tied = key.role == Role::kHead && spec.tied;
  const auto found = std::ranges::find_if(spec.tensors, [&](const TensorSpec& tensor) {
    return tensor.role == (tied ? Role::kEmbedding : key.role) && tensor.bias == key.bias &&
           tensor.layer == key.layer;
  });
  return found == spec.tensors.end() ? nullptr : &*found;
}

// "element [8, 16] is nan", as the model multiplies it: [out, in]; "".
std::string fault_of_matrix(const WeightView& matrix) {
  std::vector<float> row(static_cast<size_t>(matrix.columns));
  for (int64_t r = 0; r < matrix.rows; ++r) {
    decode_weight_row(matrix, r, row.data());
    const int64_t at = find_not_finite(row);
    if (at < 0) continue;
    return "element [" + std::to_string(r) + ", " + std::to_string(at) + "] is " +
           number_text(row[static_cast<size_t>(at)]);
  }
  return "";
}

std::string fault_of_vector(std::span<const float> vector) {
  const int64_t at = find_not_finite(vector);
  if (at < 0) return "";
  return "element [" + std::to_string(at) + "] is " + number_text(vector[static_cast<size_t>(at)]);
}

std::string fault_of_weight(const StepValues& step, const WeightKey& key) {
  const TensorSpec* tensor = tensor_of(step.spec, key);
  std::string fault;
  if (!is_vector(key)) {
    fault = fault_of_matrix(step.weights.matrix(key));
  } else if (tensor) {
    int64_t count = 1;
    for (int64_t dimension : tensor->shape) count *= dimension;
    fault = fault_of_vector({step.weights.vector(key), static_cast<size_t>(count)});
  }
  if (fault.empty()) return "";
  return (tensor ? "tensor '" + tensor->name + "': " : "a weight's ") + fault + ", read by ";
}

std::string fault_of_node(const StepValues& step, const Node& node, float result) {
  const std::string op = node.name + " (" + std::string(op_name(node.op)) + ")";
  for (const WeightKey& key : node.weights) {
    const std::string fault = fault_of_weight(step, key);
    if (!fault.empty()) return fault + op;
  }
  return op + " gives " + number_text(result) + " from finite numbers: an activation overflowed";
}

}  // namespace

std::string first_not_finite(const StepValues& step) {
  for (const Node& node : step.graph.nodes) {
    for (int id : node.outputs) {
      const std::vector<float> values = step.result(id);
      const int64_t at = find_not_finite(values);
      if (at >= 0) return fault_of_node(step, node, values[static_cast<size_t>(at)]);
    }
  }
  return "";
}

}  // namespace hone
