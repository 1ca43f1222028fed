#include "libcommon/run/device_model.h"

#include <algorithm>

#include "kernels/open.h"
#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/graph/execute.h"
#include "libcommon/graph/plan.h"
#include "libcommon/graph/rewrite.h"
#include "libcommon/run/kv_cache.h"

namespace hone {
namespace {

std::string text(int64_t bytes) { return human_bytes(static_cast<double>(bytes)); }

std::unique_ptr<Backend> open_or_throw(const std::string& device, int threads) {
  std::string why;
  std::unique_ptr<Backend> backend = open_backend(device, threads, &why);
  if (!backend) throw usage_error("--device " + device + ": " + why);
  return backend;
}

// Where memory is read ten times faster than arithmetic needs, halves of exact numbers suffice.
DType default_kv_type(const Backend& backend) {
  return backend.shares_host_memory() ? DType::kF32 : DType::kF16;
}

// What a session takes of a device's memory: the weights, and for --ctx the caches and the
// activations of its largest step. Without --ctx only what the first token needs, because caches
// grow with the texts.
struct Need {
  int64_t weights, cache, activations;
  int64_t total() const { return weights + cache + activations; }
};

Need need_of(const LoadedModel& model, const Graph& graph, const WeightTable& host,
             Backend& backend, const SessionOptions& options) {
  const int64_t positions = std::max<int64_t>(options.context, 1);
  const KvCache cache(backend, model.spec,
                      {.sequences = options.sequences,
                       .limit = std::max(positions, model.spec.context),
                       .type = options.kv_type.value_or(default_kv_type(backend))});
  // Of the unfused graph, which has the more values.
  const Plan plan = plan_arena(graph, {.tokens = std::min(positions, options.max_batch_tokens)});
  return {.weights = placed_bytes(backend, graph, host),
          .cache = cache.bytes_for(cache.capacity_for(positions)),
          .activations = plan.arena_bytes};
}

// Scratch memory of the ops, and what the driver takes.
int64_t with_room(int64_t bytes) { return bytes + bytes / 20; }

std::unique_ptr<Backend> open_for(const LoadedModel& model, const Graph& graph,
                                  const WeightTable& host, const SessionOptions& options) {
  std::unique_ptr<Backend> backend = open_or_throw(options.device, options.threads);
  if (backend->shares_host_memory()) return backend;
  const Need need = need_of(model, graph, host, *backend, options);
  const auto free = static_cast<int64_t>(backend->free_bytes());
  const std::string figures = text(need.total()) + " (weights " + text(need.weights) +
                              ", key-value cache " + text(need.cache) + ", activations " +
                              text(need.activations) + ")";
  const std::string there = std::string(backend->detail()) + " has " + text(free) + " free";
  if (options.device == "auto" && with_room(need.total()) > free) {
    log_verbose(model.subject + ": needs " + figures + ", " + there + "; computing on the CPU");
    return open_or_throw("cpu", options.threads);
  }
  if (need.total() > free) {
    throw resource_error(model.subject + ": needs " + figures + ", " + there +
                         "; --device cpu, a smaller --ctx, or fewer bits");
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
  placed.record = options.record;
  return placed;
}

}  // namespace hone
