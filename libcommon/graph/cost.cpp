#include "libcommon/graph/cost.h"

#include <algorithm>
#include <set>

namespace hone {
namespace {

// FLOPs per element of the cheap ops; transcendental functions count as one op each.
constexpr double kActivationFlops = 4;
constexpr double kNormFlops = 4;      // square, sum, scale, weight
constexpr double kRopeFlops = 3;      // two products and a sum per element
constexpr double kQuantizeFlops = 2;  // largest magnitude, scale: W8A8 inputs

int64_t rows_of(const Value& value, const CostShape& shape) {
  return value.rows == Rows::kState ? 0 : value.rows == Rows::kWanted ? shape.wanted : shape.tokens;
}

int64_t activation_bytes(const Graph& graph, int id, const CostShape& shape) {
  const Value& value = graph.values[static_cast<size_t>(id)];
  return rows_of(value, shape) * value.columns * static_cast<int64_t>(sizeof(float));
}

double activation_flops(Activation activation) {
  return activation == Activation::kNone ? 0 : kActivationFlops;
}

double elements(const Graph& graph, const std::vector<int>& ids, const CostShape& shape) {
  double sum = 0;
  for (int id : ids) {
    const Value& value = graph.values[static_cast<size_t>(id)];
    sum += static_cast<double>(rows_of(value, shape)) * static_cast<double>(value.columns);
  }
  return sum;
}

double biases(const Node& node) {
  return static_cast<double>(std::count_if(node.weights.begin(), node.weights.end(),
                                           [](const WeightKey& key) { return key.bias; }));
}

// The products, then what the op does to each element of its result.
void add_product(Cost& cost, const Node& node, const WeightTable& weights, double rows,
                 double results) {
  bool quantizes = false;
  const std::vector<WeightKey> matrices = matrices_of(node);
  for (const WeightKey& key : matrices) {
    const WeightView& w = weights.matrix(key);
    cost.weight_bytes += stored_bytes(w);
    cost.flops += 2 * rows * static_cast<double>(w.rows) * static_cast<double>(w.stored_columns());
    quantizes = quantizes || w.quantize_input;
  }
  const double columns = static_cast<double>(weights.matrix(matrices[0]).columns);
  if (matrices.size() + biases(node) < node.weights.size())
    cost.flops += kNormFlops * rows * columns;
  if (quantizes) cost.flops += kQuantizeFlops * rows * columns;  // siblings share the rounded input
  if (biases(node) > 0) cost.flops += results;
  if (node.inputs.size() > 1 || node.op == OpKind::kGatedMatmul) cost.flops += results;
  cost.flops += results * activation_flops(node.attributes.activation);
}

// FLOPs per element of the result.
double pointwise_flops(const Node& node) {
  switch (node.op) {
    case OpKind::kNorm:
      return kNormFlops + biases(node) + (node.inputs.size() > 1 ? 1 : 0);
    case OpKind::kAddBias:
    case OpKind::kAdd:
    case OpKind::kMul:
      return 1;
    case OpKind::kRope:
      return kRopeFlops;
    case OpKind::kUnary:
      return activation_flops(node.attributes.activation);
    case OpKind::kGatedActivation:
      return 1 + activation_flops(node.attributes.activation);
    default:
      return 0;
  }
}

void add_attention(Cost& cost, const Attributes& a, const CostShape& shape) {
  const int64_t reach = a.window > 0 ? std::min(a.window, shape.depth + 1) : shape.depth + 1;
  const double pairs = static_cast<double>(shape.tokens) * static_cast<double>(reach);
  cost.flops += pairs * static_cast<double>(a.heads) * (4 * static_cast<double>(a.head_dim) + 4);
  cost.cache_bytes += 2 * reach * a.kv_heads * kv_vector_bytes(shape.kv_type, a.head_dim);
}

void add_kv_store(Cost& cost, const Attributes& a, const CostShape& shape) {
  cost.cache_bytes += 2 * shape.tokens * a.kv_heads * kv_vector_bytes(shape.kv_type, a.head_dim);
}

}  // namespace

Cost operator+(const Cost& a, const Cost& b) {
  return {a.weight_bytes + b.weight_bytes, a.cache_bytes + b.cache_bytes,
          a.activation_bytes + b.activation_bytes, a.flops + b.flops, a.launches + b.launches};
}

Cost operator-(const Cost& a, const Cost& b) {
  return {a.weight_bytes - b.weight_bytes, a.cache_bytes - b.cache_bytes,
          a.activation_bytes - b.activation_bytes, a.flops - b.flops, a.launches - b.launches};
}

Cost node_cost(const Graph& graph, const Node& node, const WeightTable& weights,
               const CostShape& shape) {
  Cost cost = {.launches = 1};
  for (int id : node.inputs) cost.activation_bytes += activation_bytes(graph, id, shape);
  for (int id : node.outputs) cost.activation_bytes += activation_bytes(graph, id, shape);
  const int64_t rows = rows_of(graph.values[static_cast<size_t>(node.outputs[0])], shape);
  const double results = elements(graph, node.outputs, shape);
  switch (node.op) {
    case OpKind::kEmbed:
      cost.weight_bytes += rows * payload_row_bytes(weights.matrix(node.weights[0]));
      break;
    case OpKind::kMatmul:
    case OpKind::kQkvMatmul:
    case OpKind::kGatedMatmul:
      add_product(cost, node, weights, static_cast<double>(rows), results);
      break;
    case OpKind::kNorm:
    case OpKind::kAddBias: {
      const int64_t width = node.op == OpKind::kNorm
                                ? node.attributes.norm_dim
                                : graph.values[static_cast<size_t>(node.outputs[0])].columns;
      cost.weight_bytes += width * static_cast<int64_t>(sizeof(float) * node.weights.size());
      cost.flops += elements(graph, {node.outputs[0]}, shape) * pointwise_flops(node);
      break;
    }
    case OpKind::kKvStore:
      add_kv_store(cost, node.attributes, shape);
      break;
    case OpKind::kRotaryAttention:
      cost.weight_bytes +=
          node.attributes.head_dim * static_cast<int64_t>(sizeof(float) * node.weights.size());
      cost.flops += elements(graph, {node.inputs[0], node.inputs[1]}, shape) *
                    (kRopeFlops + (node.weights.empty() ? 0 : kNormFlops));
      add_kv_store(cost, node.attributes, shape);
      add_attention(cost, node.attributes, shape);
      break;
    case OpKind::kAttention:
      add_attention(cost, node.attributes, shape);
      break;
    default:
      cost.flops += results * pointwise_flops(node);
      break;
  }
  return cost;
}

Cost total_cost(const Graph& graph, std::span<const Node> nodes, const WeightTable& weights,
                const CostShape& shape) {
  Cost total;
  for (const Node& node : nodes) total = total + node_cost(graph, node, weights, shape);
  return total;
}

FusionCost fusion_cost(const Graph& graph, const Candidate& candidate, const WeightTable& weights,
                       const CostShape& shape) {
  FusionCost cost;
  cost.chain = total_cost(graph, candidate.chain, weights, shape);
  if (candidate.fused) {
    cost.fused = node_cost(graph, candidate.result, weights, shape);
  } else {
    // What crosses the border: read but not written inside, written but not read inside.
    std::set<int> read, written;
    for (const Node& node : candidate.chain) {
      read.insert(node.inputs.begin(), node.inputs.end());
      written.insert(node.outputs.begin(), node.outputs.end());
    }
    cost.fused = cost.chain;
    cost.fused.launches = 1;
    cost.fused.activation_bytes = 0;
    for (int id : read) {
      if (!written.contains(id)) cost.fused.activation_bytes += activation_bytes(graph, id, shape);
    }
    for (int id : written) {
      if (!read.contains(id)) cost.fused.activation_bytes += activation_bytes(graph, id, shape);
    }
  }
  cost.saved = cost.chain - cost.fused;
  const auto crossing = static_cast<double>(std::max<int64_t>(cost.fused.bytes(), 1));
  cost.fusion_factor = cost.chain.flops / crossing;
  return cost;
}

}  // namespace hone
