// Which of a model's layers run where: all on one backend, or the last ones on a GPU and what comes
// before them on the CPU.
#pragma once

#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "libcommon/graph/graph.h"
#include "libcommon/graph/weight_table.h"
#include "libcommon/model/weights.h"
#include "libcommon/run/session.h"

namespace hone {

struct Placement {
  std::unique_ptr<Backend> backend;
  Graph graph;  // the whole one, or a part that cut_before() made
};

// In the order in which they run. Throws Error: kUsage for a device that cannot be had, kResource
// with the figures, and the largest gpu_layers that fits, where weights, caches and activations
// together do not fit the GPU. Device "auto" takes a GPU where they do.
std::vector<Placement> place_layers(const LoadedModel& model, const Graph& graph,
                                    const WeightTable& host, const SessionOptions& options);

// Of the caches of a session whose last part is on this backend.
DType kv_type_for(const SessionOptions& options, const Backend& last);

}  // namespace hone
