// Layers of a loaded model on a backend: their weights in the backend's memory, their graph as
// executed there.
#pragma once

#include <memory>
#include <vector>

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
  int64_t weight_bytes = 0;  // of all its weights, as placed, or as stored in the host's memory
  int64_t own_bytes = 0;     // of those, in the backend's own memory, and packed
  Graph graph;               // fused where options.fuse
  DType kv_type = DType::kF32;
  bool record = true;  // steps of few tokens, where the backend can
};

// In the order in which they run, as place_layers() says and throws; kUsage, too, for an arithmetic
// that a device does not have.
std::vector<DeviceModel> place_model(const LoadedModel& model, const SessionOptions& options);

}  // namespace hone
