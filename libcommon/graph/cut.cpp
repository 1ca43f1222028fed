#include "libcommon/graph/cut.h"

#include <algorithm>

#include "kernels/check.h"

namespace hone {
namespace {

// The one value that is written before node `place` and read from there on.
int crossing_value(const Graph& graph, int place) {
  const std::vector<int> writers = producers(graph);
  const std::vector<std::vector<int>> readers = consumers(graph);
  int crossing = -1;
  for (size_t id = 0; id < graph.values.size(); ++id) {
    const bool before = writers[id] >= 0 && writers[id] < place;
    if (!before || readers[id].empty() || readers[id].back() < place) continue;
    CHECK(crossing < 0);
    crossing = static_cast<int>(id);
  }
  return crossing;
}

}  // namespace

std::pair<Graph, Graph> cut_before(const Graph& graph, int64_t layer) {
  const auto place = std::find_if(graph.nodes.begin(), graph.nodes.end(),
                                  [&](const Node& node) { return node.layer == layer; });
  CHECK(layer > 0 && place != graph.nodes.end());
  const int crossing = crossing_value(graph, static_cast<int>(place - graph.nodes.begin()));
  std::pair<Graph, Graph> parts = {
      {.values = graph.values, .nodes = {graph.nodes.begin(), place}, .output = crossing},
      {.values = graph.values,
       .nodes = {place, graph.nodes.end()},
       .input = crossing,
       .output = graph.output}};
  CHECK(broken_rules(parts.first).empty() && broken_rules(parts.second).empty());
  return parts;
}

LayerRange layers_of(const Graph& graph) {
  LayerRange layers;
  for (const Node& node : graph.nodes) {
    if (node.layer < 0) continue;
    if (layers.count == 0) layers.first = node.layer;
    layers.count = node.layer - layers.first + 1;
  }
  return layers;
}

}  // namespace hone
