// What the options that tools share mean to a session.
#pragma once

#include "kernels/kv_tile.h"
#include "libcommon/cli/tool.h"
#include "libcommon/ranks/launch.h"
#include "libcommon/run/session.h"

namespace hone {

// Of every rank, where there are several: each takes a device of its own and shares the model.
inline SessionOptions session_of(const CommonOptions& common, Communicator* ranks) {
  const std::string& limit = common.max_memory;
  const bool never_on_gpu = common.device == "cpu" || common.device == "ref";
  if (common.no_cuda_graph && never_on_gpu) {
    throw usage_error("--no-cuda-graph needs a GPU: --device cuda, not " + common.device);
  }
  return {.device = device_of_rank(common.device, ranks),
          .threads = static_cast<int>(common.threads),
          .gpu_layers = common.gpu_layers_given ? std::optional(common.gpu_layers) : std::nullopt,
          .record = !common.no_cuda_graph,
          .compute = *compute_from_name(common.compute),
          .kv_type = kv_type_from_name(common.kv_type),
          .load = *load_mode_from_name(common.load),
          .sparse = common.sparse == "auto",
          .max_memory = limit.empty() ? 0 : parse_bytes(limit, "--max-memory"),
          .ranks = ranks};
}

}  // namespace hone
