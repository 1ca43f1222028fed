#include "libcommon/run/device_model.h"

#include "libcommon/base/error.h"
#include "libcommon/run/placement.h"
#include "libcommon/run/step_scratch.h"

namespace hone {
namespace {

void choose_arithmetic(WeightTable& weights, Compute compute, Backend& backend) {
  if (compute == Compute::kInt8 && !backend.shares_host_memory()) {
    throw usage_error("--compute int8: the " + std::string(backend.name()) +
                      " backend rounds no activations to int8; auto or f32");
  }
  const bool automatic = compute == Compute::kAuto || compute == Compute::kBF16;
  const bool int8 =
      compute == Compute::kInt8 || (automatic && backend.name() == std::string_view("cpu"));
  for (auto& [key, matrix] : weights.matrices) {
    matrix.int8_input = int8;
    matrix.bf16_input = compute == Compute::kBF16;
  }
  backend.set_exact(compute == Compute::kF32);
}

DeviceModel place_part(Placement part, WeightTable host, DType kv_type,
                       const SessionOptions& options) {
  DeviceModel placed;
  placed.backend = std::move(part.backend);
  Backend& backend = *placed.backend;
  choose_arithmetic(host, options.compute, backend);
  placed.weight_bytes = weight_bytes(backend, part.graph, host);
  if (!backend.shares_host_memory()) placed.own_bytes = placed.weight_bytes;
  placed.weights = place_weights(backend, part.graph, host);
  if (backend.shares_host_memory()) {
    const auto wanted = [&options](const WeightView& matrix) {
      return matrix.index ? options.sparse : options.load == LoadMode::kRepack;
    };
    placed.own_bytes += place_again(backend, part.graph, wanted, placed.weights.table);
    if (options.sparse) {
      placed.packed = pack_bitmasks(backend, part.graph, options.threads, placed.weights.table);
      for (const BitmaskMatrix& matrix : placed.packed) placed.own_bytes += matrix.bytes;
    }
  }
  placed.graph = graph_to_run(std::move(part.graph), placed.weights.table, backend, options.fuse);
  placed.kv_type = kv_type;
  placed.record = options.record;
  if (!backend.shares_host_memory()) {
    StepScratch{backend, placed.graph, placed.weights.table, kv_type, options.ranks}.reserve(
        largest_step(options, backend));
  }
  return placed;
}

}  // namespace

std::vector<DeviceModel> place_model(const LoadedModel& model, const SessionOptions& options) {
  const WeightTable host = weight_table(model);
  const Graph graph = build_graph(model.spec);
  check_weights(graph, host, model.subject);
  std::vector<Placement> parts = place_layers(model, graph, host, options);
  const DType kv_type = kv_type_for(options, *parts.back().backend);
  std::vector<DeviceModel> placed;
  for (Placement& part : parts) {
    placed.push_back(place_part(std::move(part), host, kv_type, options));
  }
  return placed;
}

}  // namespace hone
