// Cuts a graph in two between layers, so that each part can have its own backend, weights, fusions,
// plan and caches. One value crosses, the hidden state of every token: the output of the first part
// and the input of the second. Value ids keep their meaning.
#pragma once

#include <utility>

#include "libcommon/graph/graph.h"

namespace hone {

// What comes before `layer`, the embedding with it, and the layers from it on with the head.
// layer: from 1 to the last one.
std::pair<Graph, Graph> cut_before(const Graph& graph, int64_t layer);

// Which of the model's layers a graph has.
struct LayerRange {
  int64_t first = 0;
  int64_t count = 0;
};
LayerRange layers_of(const Graph& graph);

}  // namespace hone
