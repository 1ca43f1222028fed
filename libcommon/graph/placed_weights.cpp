#include "libcommon/graph/placed_weights.h"

#include <tuple>

#include "kernels/check.h"

namespace hone {
namespace {

constexpr int64_t kAlignment = 64;  // bytes, of each vector

struct Vector {
  WeightKey key;
  const float* host;
  int64_t bytes;
};

// Each vector that the graph names, once.
std::vector<Vector> vectors_of(const Graph& graph, const WeightTable& host) {
  std::map<WeightKey, int64_t> lengths;
  for (const Node& node : graph.nodes) {
    const int64_t columns = graph.values[static_cast<size_t>(node.outputs[0])].columns;
    for (const WeightKey& key : node.weights) {
      if (!is_vector(key)) continue;
      lengths[key] = node.op == OpKind::kNorm ? node.attributes.norm_dim : columns;
    }
  }
  std::vector<Vector> vectors;
  for (const auto& [key, length] : lengths) {
    vectors.push_back({key, host.vector(key), length * static_cast<int64_t>(sizeof(float))});
  }
  return vectors;
}

int64_t rounded(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// What makes two views the same matrix.
auto identity(const WeightView& view) {
  return std::tuple(view.payload, view.scales, view.rows, view.columns);
}
using Identity = decltype(identity(WeightView()));

// Each matrix that the graph names, in execution order, so that a large model's first layers are
// there first; equal ones once.
using Matrices = std::vector<std::pair<Identity, const WeightView*>>;
Matrices matrices_of(const Graph& graph, const WeightTable& host, bool only_products = false) {
  Matrices all;
  std::map<Identity, bool> seen;
  for (const Node& node : graph.nodes) {
    if (only_products && node.op == OpKind::kEmbed) continue;
    for (const WeightKey& key : matrices_of(node)) {
      const WeightView& view = host.matrix(key);
      if (seen.emplace(identity(view), true).second) all.emplace_back(identity(view), &view);
    }
  }
  return all;
}

// Lets the backend place matrices; `table` names those where they are then.
void place_matrices(Backend& backend, const Matrices& matrices, WeightTable& table) {
  std::map<Identity, WeightView> there;
  for (const auto& [same, view] : matrices) there[same] = backend.place(*view);
  for (auto& [key, view] : table.matrices) {
    if (const auto at = there.find(identity(view)); at != there.end()) view = at->second;
  }
}

}  // namespace

int64_t weight_bytes(const Backend& backend, const Graph& graph, const WeightTable& table) {
  const bool as_stored = backend.shares_host_memory();
  int64_t bytes = 0;
  for (const Vector& vector : vectors_of(graph, table)) {
    bytes += as_stored ? vector.bytes : rounded(vector.bytes);
  }
  for (const auto& [same, view] : matrices_of(graph, table)) {
    bytes += as_stored ? stored_bytes(*view) : static_cast<int64_t>(backend.placed_bytes(*view));
  }
  return bytes;
}

PlacedWeights place_weights(Backend& backend, const Graph& graph, const WeightTable& host) {
  PlacedWeights placed = {.table = weights_of(graph, host), .vectors = {}};
  if (backend.shares_host_memory()) return placed;
  const std::vector<Vector> vectors = vectors_of(graph, host);
  int64_t bytes = 0;
  for (const Vector& vector : vectors) bytes += rounded(vector.bytes);
  placed.vectors = Buffer(backend, bytes);
  placed.table.vectors.clear();
  auto* next = placed.vectors.as<std::byte>();
  for (const Vector& vector : vectors) {
    backend.copy_in(next, vector.host, static_cast<size_t>(vector.bytes));
    placed.table.vectors[vector.key] = reinterpret_cast<const float*>(next);
    next += rounded(vector.bytes);
  }
  const Matrices matrices = matrices_of(graph, host);
  size_t room = 0;
  for (const auto& [same, view] : matrices) room += backend.placed_bytes(*view);
  backend.reserve_placed(room);
  place_matrices(backend, matrices, placed.table);
  return placed;
}

int64_t place_again(Backend& backend, const Graph& graph,
                    const std::function<bool(const WeightView&)>& wanted, WeightTable& table) {
  Matrices matrices = matrices_of(graph, table, true);
  std::erase_if(matrices, [&wanted](const auto& matrix) { return !wanted(*matrix.second); });
  int64_t bytes = 0;
  for (const auto& [same, view] : matrices) {
    bytes += static_cast<int64_t>(backend.placed_bytes(*view));
  }
  place_matrices(backend, matrices, table);
  return bytes;
}

}  // namespace hone
