// A model's weights where a backend wants them.
#pragma once

#include <functional>

#include "libcommon/graph/buffer.h"
#include "libcommon/graph/graph.h"
#include "libcommon/graph/weight_table.h"

namespace hone {

struct PlacedWeights {
  WeightTable table;  // of what the graph names
  Buffer vectors;     // norms and biases, one after the other; empty where the host's are read
};

// Bytes of what the graph names, equal matrices once, as the backend wants them: as place_weights()
// places them, or as stored where it shares the host's memory.
int64_t weight_bytes(const Backend& backend, const Graph& graph, const WeightTable& table);

// `graph` is the unfused one, whose nodes tell the lengths of vectors. Equal matrices (a tied head)
// are placed once.
PlacedWeights place_weights(Backend& backend, const Graph& graph, const WeightTable& host);

// Lets a backend that shares the host's memory lay out matrices of products once more, in the order
// in which it multiplies them, if it has one: those that are wanted. Returns the bytes that it
// took.
int64_t place_again(Backend& backend, const Graph& graph,
                    const std::function<bool(const WeightView&)>& wanted, WeightTable& table);

}  // namespace hone
