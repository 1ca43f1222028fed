// Memory that a backend's ops take for themselves in a session's steps, known before the first: the
// ops are called for steps of every kind, and none is run.
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "libcommon/graph/graph.h"
#include "libcommon/graph/plan.h"
#include "libcommon/graph/weight_table.h"
#include "libcommon/run/session.h"

namespace hone {

// A graph as a session runs it.
Graph graph_to_run(Graph graph, const WeightTable& weights, const Backend& backend, bool fuse);

// Tokens of a chunk where `last` computes the last layers.
int64_t batch_tokens(const SessionOptions& options, const Backend& last);

// The largest step of a session that --ctx bounds; without it the first token, because memory grows
// with the texts.
PlanLimits largest_step(const SessionOptions& options, const Backend& last);

// graph: as it is run. weights: placed, or as Backend::placed_view() says.
struct StepScratch {
  Backend& backend;
  const Graph& graph;
  const WeightTable& weights;
  DType kv_type;
  Communicator* ranks;

  int64_t bytes(const PlanLimits& largest) const;  // that the ops do not have yet
  void reserve(const PlanLimits& largest) const;
};

}  // namespace hone
