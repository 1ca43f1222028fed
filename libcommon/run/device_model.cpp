#include "libcommon/run/device_model.h"

#include "kernels/open.h"
#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/graph/execute.h"
#include "libcommon/graph/rewrite.h"

namespace hone {
namespace {

std::string text(int64_t bytes) { return human_bytes(static_cast<double>(bytes)); }

std::unique_ptr<Backend> open_or_throw(const std::string& device, int threads) {
  std::string why;
  std::unique_ptr<Backend> backend = open_backend(device, threads, &why);
  if (!backend) throw usage_error("--device " + device + ": " + why);
  return backend;
}

// Beside the weights: caches, activations, scratch.
int64_t with_room(int64_t weight_bytes) { return weight_bytes + weight_bytes / 20; }

std::unique_ptr<Backend> open_for(const LoadedModel& model, const Graph& graph,
                                  const WeightTable& host, const SessionOptions& options) {
  std::unique_ptr<Backend> backend = open_or_throw(options.device, options.threads);
  if (backend->shares_host_memory()) return backend;
  const int64_t needed = placed_bytes(*backend, graph, host);
  const auto free = static_cast<int64_t>(backend->free_bytes());
  if (options.device == "auto" && with_room(needed) > free) {
    log_verbose(model.subject + ": weights of " + text(needed) + " do not fit " +
                std::string(backend->detail()) + " (" + text(free) +
                " free); computing on the CPU");
    return open_or_throw("cpu", options.threads);
  }
  if (needed > free) {
    throw resource_error(model.subject + ": the weights take " + text(needed) + " on " +
                         std::string(backend->detail()) + ", where " + text(free) +
                         " are free; --device cpu, or fewer bits");
  }
  return backend;
}

void choose_arithmetic(WeightTable& weights, Compute compute, Backend& backend) {
  if (compute == Compute::kInt8 && !backend.shares_host_memory()) {
    throw usage_error("--compute int8: the " + std::string(backend.name()) +
                      " backend rounds no activations to int8; auto or f32");
  }
  const bool int8 = compute == Compute::kInt8 ||
                    (compute == Compute::kAuto && backend.name() == std::string_view("cpu"));
  for (auto& [key, matrix] : weights.matrices) matrix.int8_input = int8;
  backend.set_exact(compute == Compute::kF32);
}

Graph fused(Graph graph, const WeightTable& weights, const Backend& backend) {
  const auto available = [&](OpKind op) { return has_kernel(backend, op); };
  return rewrite(std::move(graph), weights, {.has_kernel = available, .few_ops = backend.few_ops()})
      .graph;
}

// Where memory is read ten times faster than arithmetic needs, halves of exact numbers suffice.
DType default_kv_type(const Backend& backend) {
  return backend.shares_host_memory() ? DType::kF32 : DType::kF16;
}

}  // namespace

DeviceModel place_model(const LoadedModel& model, const SessionOptions& options) {
  WeightTable host = weight_table(model);
  Graph graph = build_graph(model.spec);
  check_weights(graph, host, model.subject);
  DeviceModel placed;
  placed.backend = open_for(model, graph, host, options);
  choose_arithmetic(host, options.compute, *placed.backend);
  placed.weight_bytes = placed_bytes(*placed.backend, graph, host);
  placed.weights = place_weights(*placed.backend, graph, host);
  if (options.sparse) {
    placed.packed = pack_bitmasks(*placed.backend, graph, options.threads, placed.weights.table);
    for (const BitmaskMatrix& matrix : placed.packed) placed.weight_bytes += matrix.bytes;
  }
  placed.graph = options.fuse ? fused(std::move(graph), placed.weights.table, *placed.backend)
                              : std::move(graph);
  placed.kv_type = options.kv_type.value_or(default_kv_type(*placed.backend));
  return placed;
}

}  // namespace hone
