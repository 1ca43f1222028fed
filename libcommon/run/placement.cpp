#include "libcommon/run/placement.h"

#include <algorithm>

#include "kernels/open.h"
#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/graph/cut.h"
#include "libcommon/graph/placed_weights.h"
#include "libcommon/run/join_devices.h"
#include "libcommon/run/kv_cache.h"
#include "libcommon/run/step_runner.h"
#include "libcommon/run/step_scratch.h"

namespace hone {
namespace {

std::string text(int64_t bytes) { return human_bytes(static_cast<double>(bytes)); }

// Of --device auto, which takes a GPU otherwise.
void say_why_cpu(const std::string& why) {
  log_verbose("--device auto: " + why + "; computing on the CPU");
}

std::unique_ptr<Backend> open_or_throw(const std::string& device, int threads) {
  std::string why;
  std::unique_ptr<Backend> backend = open_backend(device, threads, &why);
  if (!backend) throw usage_error("--device " + device + ": " + why);
  if (device == "auto" && !why.empty()) say_why_cpu(why);
  return backend;
}

// The GPU for so many layers; the CPU for none, or where "auto" finds no GPU.
std::unique_ptr<Backend> open_for_layers(int64_t layers, const SessionOptions& options) {
  const std::string& device = options.device;
  const std::string option = "--gpu-layers " + std::to_string(layers);
  const bool automatic = device == "auto";
  if (layers == 0) {
    const bool gpu = automatic || device.starts_with("cuda");
    return open_or_throw(gpu ? "cpu" : device, options.threads);
  }
  std::string why;
  std::unique_ptr<Backend> gpu = open_backend(automatic ? "cuda" : device, options.threads, &why);
  if (gpu && gpu->shares_host_memory()) {
    throw usage_error(option + " needs a GPU: --device cuda, not " + device);
  }
  if (gpu) return gpu;
  if (!automatic) throw usage_error("--device " + device + ": " + why);
  log_warning(option + ": " + why + "; all layers run on the CPU");
  return open_or_throw("cpu", options.threads);
}

// What a session takes of a device's memory: the weights, and for --ctx the caches, the activations
// of its largest step and what its ops hand to each other. Without --ctx only what the first token
// needs, because caches grow with the texts.
struct Need {
  int64_t weights, cache, activations, scratch;
  int64_t total() const { return weights + cache + activations + scratch; }
};

// A model, and a GPU on which its last layers shall run.
class Fitting {
 public:
  Fitting(const LoadedModel& model, const Graph& graph, const WeightTable& host,
          const SessionOptions& options, Backend& gpu)
      : model_(model),
        graph_(graph),
        host_(host),
        options_(options),
        gpu_(gpu),
        free_(static_cast<int64_t>(gpu.free_bytes())),
        driver_(static_cast<int64_t>(gpu.driver_bytes())),
        scratch_(scratch_bytes()) {}

  bool fits(int64_t layers) const { return need(layers).total() <= free_; }
  // And the driver has room for what it takes unasked.
  bool fits_with_room(int64_t layers) const { return need(layers).total() + driver_ <= free_; }

  // "tiny: 3 layers need 5.00 GB (...), H200 has 4.00 GB free; --gpu-layers 2 fits".
  std::string refusal(int64_t layers) const;

 private:
  int64_t all() const { return static_cast<int64_t>(model_.spec.layers.size()); }
  int64_t scratch_bytes() const;
  Need need(int64_t layers) const;
  int64_t most_layers() const;

  const LoadedModel& model_;
  const Graph& graph_;
  const WeightTable& host_;
  const SessionOptions& options_;
  Backend& gpu_;
  int64_t free_, driver_;
  int64_t scratch_;  // with all layers, and so for any number: ops share it
};

int64_t Fitting::scratch_bytes() const {
  WeightTable placed = host_;
  for (auto& [key, matrix] : placed.matrices) matrix = gpu_.placed_view(matrix);
  const Graph graph = graph_to_run(graph_, placed, gpu_, options_.fuse);
  return StepScratch{gpu_, graph, placed, kv_type_for(options_, gpu_), options_.ranks}.bytes(
      largest_step(options_, gpu_));
}

Need Fitting::need(int64_t layers) const {
  const Graph graph = layers < all() ? cut_before(graph_, all() - layers).second : graph_;
  const int64_t positions = std::max<int64_t>(options_.context, 1);
  const KvCache cache(gpu_, graph,
                      {.sequences = options_.sequences,
                       .limit = std::max(positions, model_.spec.context),
                       .type = kv_type_for(options_, gpu_)});
  return {.weights = weight_bytes(gpu_, graph, host_),
          .cache = cache.bytes_for(cache.capacity_for(positions)),
          // Of the unfused graph, which has the more values.
          .activations = step_bytes(graph, largest_step(options_, gpu_)),
          .scratch = scratch_};
}

int64_t Fitting::most_layers() const {
  int64_t layers = all();
  while (layers > 0 && !fits_with_room(layers)) --layers;
  return layers;
}

std::string Fitting::refusal(int64_t layers) const {
  const Need needed = need(layers);
  const std::string who =
      layers < all() ? std::to_string(layers) + " layers on the GPU need " : "needs ";
  const int64_t most = most_layers();
  return model_.subject + ": " + who + text(needed.total()) + " (weights " + text(needed.weights) +
         ", key-value cache " + text(needed.cache) + ", activations " + text(needed.activations) +
         ", scratch " + text(needed.scratch) + "), " + std::string(gpu_.detail()) + " has " +
         text(free_) + " free" +
         (fits(layers) ? ", of which the driver may want " + text(driver_) : "") +
         (most > 0 ? "; --gpu-layers " + std::to_string(most) + " fits" : "");
}

// The backend of the last layers: the GPU, or whatever computes all of them.
std::unique_ptr<Backend> open_last(const LoadedModel& model, const Graph& graph,
                                   const WeightTable& host, const SessionOptions& options,
                                   int64_t layers) {
  std::unique_ptr<Backend> backend = options.gpu_layers
                                         ? open_for_layers(*options.gpu_layers, options)
                                         : open_or_throw(options.device, options.threads);
  if (options.ranks) join_devices(*backend, *options.ranks);
  if (backend->shares_host_memory()) return backend;
  backend->set_exact(options.compute == Compute::kF32);  // which scratch ops take depends on it
  const Fitting fitting(model, graph, host, options, *backend);
  const bool may_leave = options.device == "auto" && !options.gpu_layers;
  if (may_leave ? fitting.fits_with_room(layers) : fitting.fits(layers)) return backend;
  if (!may_leave) {
    throw resource_error(fitting.refusal(layers) +
                         "; --device cpu, a smaller --ctx, or fewer bits");
  }
  say_why_cpu(fitting.refusal(layers));
  return open_or_throw("cpu", options.threads);
}

}  // namespace

// Where memory is read ten times faster than arithmetic needs, halves of exact numbers suffice.
DType kv_type_for(const SessionOptions& options, const Backend& last) {
  return options.kv_type.value_or(last.shares_host_memory() ? DType::kF32 : DType::kF16);
}

std::vector<Placement> place_layers(const LoadedModel& model, const Graph& graph,
                                    const WeightTable& host, const SessionOptions& options) {
  const auto all = static_cast<int64_t>(model.spec.layers.size());
  const int64_t layers = std::min(options.gpu_layers.value_or(all), all);
  std::unique_ptr<Backend> last = open_last(model, graph, host, options, layers);
  std::vector<Placement> parts;
  if (layers == all || last->shares_host_memory()) {
    parts.push_back({std::move(last), graph});
    return parts;
  }
  auto [before, rest] = cut_before(graph, all - layers);
  parts.push_back({open_or_throw("cpu", options.threads), std::move(before)});
  parts.push_back({std::move(last), std::move(rest)});
  return parts;
}

}  // namespace hone
