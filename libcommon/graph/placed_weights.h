// A model's weights where a backend wants them.
#pragma once

#include "libcommon/graph/buffer.h"
#include "libcommon/graph/graph.h"
#include "libcommon/graph/weight_table.h"

namespace hone {

struct PlacedWeights {
  WeightTable table;
  Buffer vectors;  // norms and biases, one after the other; empty where the host's are read
};

// Bytes that place_weights() takes of the backend's own memory; 0 where it shares the host's.
int64_t placed_bytes(const Backend& backend, const Graph& graph, const WeightTable& host);

// `graph` is the unfused one, whose nodes tell the lengths of vectors. Equal matrices (a tied head)
// are placed once.
PlacedWeights place_weights(Backend& backend, const Graph& graph, const WeightTable& host);

}  // namespace hone
