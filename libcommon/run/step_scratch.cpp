#include "libcommon/run/step_scratch.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "kernels/kv_tile.h"
#include "kernels/no_memory.h"
#include "libcommon/graph/execute.h"
#include "libcommon/graph/rewrite.h"

namespace hone {
namespace {

// Ops choose among kernels by the number of tokens: which take how much changes with every token up
// to 16, then with every 16. From 256 on more tokens take more.
constexpr int64_t kEach = 16, kInSteps = 256;

std::vector<int64_t> kinds_of_steps(int64_t most) {
  std::vector<int64_t> tokens;
  for (int64_t t = 1; t < std::min(most, kInSteps + 1); t += t < kEach ? 1 : kEach) {
    tokens.push_back(t);
  }
  tokens.push_back(most);
  return tokens;
}

// Calls the ops of steps of every kind.
class Calls {
 public:
  explicit Calls(const StepScratch& of)
      : of_(of),
        executor_(of.backend, of.graph, of.weights, of.ranks),
        cache_(caches(of.graph), {no_memory<std::byte>(), no_memory<std::byte>(), of.kv_type}) {}

  void all(const PlanLimits& largest) {
    executor_.bind(plan_arena(of_.graph, largest), no_memory<std::byte>());
    for (const int64_t tokens : kinds_of_steps(largest.tokens)) {
      step(tokens, std::min(tokens, largest.wanted));
    }
  }

 private:
  static size_t caches(const Graph& graph) {
    int64_t count = 0;
    for (const Node& node : graph.nodes) count = std::max(count, node.layer + 1);
    return static_cast<size_t>(count);
  }

  // Ranks without a group of devices talk through the host.
  bool is_called(const Node& node) const {
    const bool exchange = node.op == OpKind::kAllReduce || node.op == OpKind::kAllGather;
    return !exchange || of_.backend.group();
  }

  void step(int64_t tokens, int64_t wanted) const {
    const RopeRun rope = {.count = tokens, .inv_freq = no_memory<double>()};
    const auto* const index = no_memory<int32_t>();
    const StepInputs inputs = {.tokens = tokens,
                               .wanted = wanted,
                               .ids = index,
                               .sequences = index,
                               .positions = index,
                               .wanted_rows = index,
                               .rope = {&rope, 1},
                               .cache = cache_,
                               .capacity = kKvTile};
    for (const Node& node : of_.graph.nodes) {
      if (is_called(node)) executor_.run_node(node, inputs);
    }
    const Value& output = of_.graph.values[static_cast<size_t>(of_.graph.output)];
    if (output.rows == Rows::kWanted) draw(wanted, output.columns);
  }

  void draw(int64_t rows, int64_t vocab) const {
    const float* const logits = executor_.buffer(of_.graph.output);
    of_.backend.run.argmax({.x = logits, .out = no_memory<int32_t>(), .rows = rows, .dim = vocab});
    of_.backend.run.sample({.x = logits,
                            .settings = no_memory<SampleRow>(),
                            .out = no_memory<Sampled>(),
                            .log_probabilities = true,
                            .rows = rows,
                            .dim = vocab});
  }

  const StepScratch& of_;
  Executor executor_;
  std::vector<CacheLayer> cache_;
};

}  // namespace

Graph graph_to_run(Graph graph, const WeightTable& weights, const Backend& backend, bool fuse) {
  if (!fuse) return graph;
  const auto available = [&](OpKind op) { return has_kernel(backend, op); };
  return rewrite(std::move(graph), weights, {.has_kernel = available, .few_ops = backend.few_ops()})
      .graph;
}

int64_t batch_tokens(const SessionOptions& options, const Backend& last) {
  constexpr int64_t kOfHost = 512, kOfDevice = 2048;
  if (options.max_batch_tokens > 0) return options.max_batch_tokens;
  return last.shares_host_memory() || options.gpu_layers ? kOfHost : kOfDevice;
}

PlanLimits largest_step(const SessionOptions& options, const Backend& last) {
  if (options.context <= 0) return {.tokens = 1, .wanted = 1};
  const int64_t most = batch_tokens(options, last);
  // As Session makes room: by doubling. All texts together may be more than one can count.
  const auto doubled = [most](int64_t count) {
    return std::min(static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(count))), most);
  };
  const bool fill = options.context >= most || options.sequences >= most / options.context;
  return {.tokens = fill ? most : doubled(options.context * options.sequences),
          .wanted = doubled(std::min(options.sequences, most))};
}

int64_t StepScratch::bytes(const PlanLimits& largest) const {
  Calls calls(*this);
  return static_cast<int64_t>(backend.scratch_bytes([&] { calls.all(largest); }));
}

void StepScratch::reserve(const PlanLimits& largest) const {
  Calls calls(*this);
  backend.reserve_scratch([&] { calls.all(largest); });
}

}  // namespace hone
