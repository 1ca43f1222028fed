// A loaded model on a backend: its weights in the backend's memory, its graph as executed there.
#pragma once

#include <memory>

#include "libcommon/graph/bitmask_weights.h"
#include "libcommon/graph/graph.h"
#include "libcommon/graph/placed_weights.h"
#include "libcommon/model/weights.h"
#include "libcommon/run/session.h"

namespace hone {

struct DeviceModel {
  std::unique_ptr<Backend> backend;
  PlacedWeights weights;
  std::vector<BitmaskMatrix> packed;
  int64_t weight_bytes = 0;  // in the backend's own memory, and packed
  Graph graph;               // fused where options.fuse
  DType kv_type = DType::kF32;
  bool record = true;  // steps of few tokens, where the backend can
};

// Throws Error: kUsage for an unknown device or an arithmetic it does not have, kResource with the
// figures where weights, caches and activations together do not fit it. Device "auto" takes a GPU
// where they do.
DeviceModel place_model(const LoadedModel& model, const SessionOptions& options);

}  // namespace hone
