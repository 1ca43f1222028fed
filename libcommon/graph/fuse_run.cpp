#include "libcommon/graph/fuse_run.h"

#include <algorithm>
#include <set>

#include "kernels/check.h"
#include "kernels/open.h"
#include "libcommon/base/error.h"
#include "libcommon/base/rng.h"
#include "libcommon/bench/measure.h"
#include "libcommon/bench/stats.h"
#include "libcommon/graph/buffer.h"
#include "libcommon/graph/execute.h"
#include "libcommon/graph/not_finite.h"
#include "libcommon/graph/placed_weights.h"

namespace hone {
namespace {

constexpr auto kFloat = static_cast<int64_t>(sizeof(float));
constexpr DType kKvType = DType::kF32;  // fusions are compared, not the rounding of a cache

template <typename T>
Buffer placed(Backend& backend, const std::vector<T>& values) {
  const size_t bytes = values.size() * sizeof(T);
  Buffer buffer(backend, static_cast<int64_t>(bytes));
  backend.copy_in(buffer.as<void>(), values.data(), bytes);
  return buffer;
}

std::vector<float> brought(Backend& backend, const float* from, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  backend.copy_out(values.data(), from, values.size() * sizeof(float));
  return values;
}

// ---- A step of random tokens of one sequence, with a cache of its own.
class RandomStep {
 public:
  RandomStep(Backend& backend, const LoadedModel& model, int64_t tokens, uint64_t seed)
      : tokens_(tokens) {
    const auto vocab = static_cast<uint64_t>(model.spec.vocab);
    std::vector<int32_t> ids, positions;
    for (int64_t i = 0; i <= tokens; ++i) {
      ids.push_back(static_cast<int32_t>(random_bits(seed, 0, static_cast<uint64_t>(i)) % vocab));
      positions.push_back(static_cast<int32_t>(i));
    }
    ids_ = placed(backend, ids);
    positions_ = placed(backend, positions);
    sequences_ = placed(backend, std::vector<int32_t>(ids.size(), 0));
    for (const LayerSpec& layer : model.spec.layers) {
      const AttentionSpec& a = layer.attention;
      const int64_t bytes = kv_tile_offset(kKvType, a.head_dim, capacity(), a.kv_heads, 0);
      buffers_.emplace_back(backend, bytes);
      auto* const keys = buffers_.back().as<std::byte>();
      buffers_.emplace_back(backend, bytes);
      cache_.push_back({keys, buffers_.back().as<std::byte>(), kKvType});
    }
    if (model.spec.positions == PositionKind::kRope) {
      inv_freq_ =
          placed(backend, rope_frequencies(model.spec.rope, tokens_ + 1, model.spec.context));
    }
  }

  // All tokens, all logits wanted.
  StepInputs prefill() { return inputs(0, tokens_); }
  // One more token after them.
  StepInputs decode() { return inputs(tokens_, 1); }

 private:
  int64_t capacity() const { return kv_capacity(tokens_ + 1); }

  StepInputs inputs(int64_t begin, int64_t count) {
    rope_ = {.begin = 0, .count = count, .inv_freq = inv_freq_.as<double>()};
    return {.tokens = count,
            .wanted = count,
            .ids = ids_.as<int32_t>() + begin,
            .sequences = sequences_.as<int32_t>(),
            .positions = positions_.as<int32_t>() + begin,
            .wanted_rows = positions_.as<int32_t>(),  // 0, 1, 2, ...
            .rope = {&rope_, 1},
            .cache = cache_,
            .capacity = capacity()};
  }

  int64_t tokens_;
  Buffer ids_, positions_, sequences_, inv_freq_;
  std::vector<Buffer> buffers_;
  std::vector<CacheLayer> cache_;
  RopeRun rope_;
};

Timing measured(Backend& backend, const std::function<void()>& unfused,
                const std::function<void()>& fused, double max_seconds) {
  // Recorded where the backend has memory of its own, after a first run, which loads kernels: else
  // a GPU would wait for the host.
  const auto timed = [&backend](const std::function<void()>& body) {
    int recording = -1;
    if (!backend.shares_host_memory()) {
      body();
      recording = backend.record(body);
    }
    return [&backend, &body, recording] {
      return backend.seconds_of([&] { recording >= 0 ? backend.replay(recording) : body(); });
    };
  };
  const std::vector<Samples> samples =
      measure_interleaved({timed(unfused), timed(fused)},
                          {.repetitions = 15, .max_warmups = 5, .max_seconds = max_seconds});
  backend.forget_recordings();
  return {.unfused_seconds = median(samples[0].seconds),
          .fused_seconds = median(samples[1].seconds)};
}

// ---- Single chains.
// Runs nodes on one backend, each on the values that the unfused step gave its inputs.
class NodeBench {
 public:
  NodeBench(Backend& backend, const Graph& graph, const WeightTable& weights, StepInputs inputs)
      : backend_(backend),
        graph_(graph),
        inputs_(inputs),
        executor_(backend, graph, weights),
        values_(graph.values.size(), nullptr) {}

  Backend& backend() const { return backend_; }
  int64_t size(int id) const {
    const Value& value = graph_.values[static_cast<size_t>(id)];
    return value.rows == Rows::kState ? 0 : inputs_.tokens * value.columns;
  }
  const float* value(int id) const { return values_[static_cast<size_t>(id)]; }
  void set_value(int id, float* memory) { values_[static_cast<size_t>(id)] = memory; }

  // The unfused step, whose values stay in `arena`.
  void run_step(const Plan& plan, std::byte* arena) {
    executor_.bind(plan, arena);
    executor_.run(inputs_);
    for (size_t i = 0; i < values_.size(); ++i) {
      values_[i] = executor_.buffer(static_cast<int>(i));
    }
  }

  // An executor whose nodes write into memory of their own, `scratch`, and read what is not theirs
  // from the unfused step.
  Executor redirected(const std::vector<Node>& nodes, std::vector<Buffer>& scratch) const {
    Executor executor = executor_;
    for (const Node& node : nodes) {
      for (int id : node.inputs) {
        executor.set_buffer(id, values_[static_cast<size_t>(id)]);
      }
    }
    for (const Node& node : nodes) {
      if (node.op == OpKind::kRotaryAttention) {  // turns q and k where they are
        for (int id : {node.inputs[0], node.inputs[1]}) {
          float* const own = add(scratch, id);
          backend_.copy(own, value(id), static_cast<size_t>(size(id) * kFloat));
          executor.set_buffer(id, own);
        }
      }
      for (int id : node.outputs) executor.set_buffer(id, add(scratch, id));
    }
    return executor;
  }

  void run(const Executor& executor, const std::vector<Node>& nodes) const {
    for (const Node& node : nodes) executor.run_node(node, inputs_);
  }

  std::vector<std::vector<float>> results(const std::vector<Node>& nodes,
                                          const std::vector<int>& outputs) const {
    std::vector<Buffer> scratch;
    const Executor executor = redirected(nodes, scratch);
    run(executor, nodes);
    std::vector<std::vector<float>> results;
    for (int id : outputs) results.push_back(brought(backend_, executor.buffer(id), size(id)));
    return results;
  }

 private:
  float* add(std::vector<Buffer>& scratch, int id) const {
    scratch.emplace_back(backend_, std::max<int64_t>(size(id), 1) * kFloat);
    return scratch.back().as<float>();
  }

  Backend& backend_;
  const Graph& graph_;
  StepInputs inputs_;
  Executor executor_;
  std::vector<float*> values_;  // of the unfused step, by id
};

// Holds every value of one unfused step, so that any chain can be run again on its true inputs.
class ChainRunner {
 public:
  ChainRunner(const FuseReport& report, NodeBench bench, NodeBench reference)
      : bench_(std::move(bench)), reference_(std::move(reference)) {
    const PlanLimits limits = {
        .tokens = report.shape.tokens, .wanted = report.shape.tokens, .reuse = false};
    const Plan plan = plan_arena(report.before, limits);
    arena_ = Buffer(bench_.backend(), plan.arena_bytes);
    bench_.run_step(plan, arena_.as<std::byte>());
  }

  // Of the unfused step; empty for what has no memory of its own.
  std::vector<float> value(int id) const {
    return brought(bench_.backend(), bench_.value(id), bench_.size(id));
  }

  ChainCheck check(const Candidate& candidate, bool with_reference, bool measure) {
    const std::vector<Node> fused = {candidate.result};
    const Results unfused = bench_.results(candidate.chain, candidate.result.outputs);
    const Results as_fused = bench_.results(fused, candidate.result.outputs);
    ChainCheck check;
    check.fused_unfused = apart(as_fused, unfused);
    if (with_reference) {
      const std::vector<std::vector<float>> inputs = lend(candidate.chain);
      const Results truth = reference_.results(candidate.chain, candidate.result.outputs);
      check.fused_reference = apart(as_fused, truth);
      check.unfused_reference = apart(unfused, truth);
    }
    if (measure) check.timing = time(candidate.chain, fused);
    return check;
  }

 private:
  using Results = std::vector<std::vector<float>>;

  static Difference apart(const Results& a, const Results& b) {
    Difference difference;
    for (size_t i = 0; i < a.size(); ++i) difference = worst(difference, compare(a[i], b[i]));
    return difference;
  }

  // Gives the reference what the chain reads; the values live as long as the result.
  std::vector<std::vector<float>> lend(const std::vector<Node>& chain) {
    std::vector<std::vector<float>> copies;
    for (const Node& node : chain) {
      for (int id : node.inputs) {
        copies.push_back(value(id));
        reference_.set_value(id, copies.back().data());
      }
    }
    return copies;
  }

  Timing time(const std::vector<Node>& chain, const std::vector<Node>& fused) const {
    std::vector<Buffer> scratch;
    const Executor a = bench_.redirected(chain, scratch);
    const Executor b = bench_.redirected(fused, scratch);
    return measured(
        bench_.backend(), [&] { bench_.run(a, chain); }, [&] { bench_.run(b, fused); }, 0.05);
  }

  NodeBench bench_;
  NodeBench reference_;
  Buffer arena_;
};

// ---- The whole model.
class WholeRun {
 public:
  WholeRun(Backend& backend, const Graph& graph, const WeightTable& weights, int64_t tokens)
      : backend_(backend), graph_(graph), executor_(backend, graph, weights), tokens_(tokens) {
    const Plan plan = plan_arena(graph, {.tokens = tokens, .wanted = tokens});
    arena_ = Buffer(backend, plan.arena_bytes);
    executor_.bind(plan, arena_.as<std::byte>());
  }

  void run(const StepInputs& inputs) const { executor_.run(inputs); }

  std::vector<float> logits(const StepInputs& inputs) const {
    run(inputs);
    const Value& value = graph_.values[static_cast<size_t>(graph_.output)];
    return brought(backend_, executor_.buffer(graph_.output), tokens_ * value.columns);
  }

 private:
  Backend& backend_;
  const Graph& graph_;
  Executor executor_;
  int64_t tokens_;
  Buffer arena_;
};

bool rounds_inputs(const WeightTable& weights) {
  return std::any_of(weights.matrices.begin(), weights.matrices.end(),
                     [](const auto& entry) { return entry.second.quantize_input; });
}

ModelCheck check_model(const FuseReport& report, const LoadedModel& model,
                       const WeightTable& weights, Backend& backend, Backend& reference,
                       const FuseRunOptions& options) {
  const WeightTable host = weight_table(model);
  const int64_t tokens = report.shape.tokens;
  RandomStep unfused_step(backend, model, tokens, options.seed);
  RandomStep fused_step(backend, model, tokens, options.seed);
  const WholeRun unfused(backend, report.before, weights, tokens);
  const WholeRun fused(backend, report.after, weights, tokens);
  const std::vector<float> a = unfused.logits(unfused_step.prefill());
  const std::vector<float> b = fused.logits(fused_step.prefill());
  ModelCheck check;
  check.fused_unfused = compare(b, a);
  const Tolerance& row = tolerance(rounds_inputs(host) ? "logits-rounded-inputs" : "logits");
  check.tolerance = row.relative;
  check.tolerance_name = row.name;
  if (report.figures_before.cost.flops <= options.reference_flops) {
    RandomStep step(reference, model, tokens, options.seed);
    const std::vector<float> truth =
        WholeRun(reference, report.before, host, tokens).logits(step.prefill());
    check.fused_reference = compare(b, truth);
    check.unfused_reference = compare(a, truth);
  }
  if (options.measure) {
    check.prefill = measured(
        backend, [&] { unfused.run(unfused_step.prefill()); },
        [&] { fused.run(fused_step.prefill()); }, 1.0);
    check.decode = measured(
        backend, [&] { unfused.run(unfused_step.decode()); },
        [&] { fused.run(fused_step.decode()); }, 0.5);
  }
  return check;
}

}  // namespace

void run_fusions(FuseReport& report, const LoadedModel& model, Backend& backend,
                 const FuseRunOptions& options) {
  std::string why;
  const std::unique_ptr<Backend> reference = open_backend("ref", 1, &why);
  CHECK(reference != nullptr);
  const WeightTable host = weight_table(model);
  const PlacedWeights weights = place_weights(backend, report.before, host);
  {
    RandomStep step(backend, model, report.shape.tokens, options.seed);
    RandomStep reference_step(*reference, model, report.shape.tokens, options.seed);
    ChainRunner runner(report, NodeBench(backend, report.before, weights.table, step.prefill()),
                       NodeBench(*reference, report.before, host, reference_step.prefill()));
    const std::string fault = first_not_finite(
        {report.before, model.spec, host, [&](int id) { return runner.value(id); }});
    if (!fault.empty()) {
      throw Error(report.subject + ": " + fault + "; nothing made of it can be compared");
    }
    std::set<std::string> seen;
    double flops = 0;
    for (FusionLine& line : report.lines) {
      if (!line.candidate.fused) continue;
      const bool first = seen.insert(line.group).second;
      flops += line.cost.chain.flops;
      const bool with_reference = first || flops <= options.reference_flops;
      line.check = runner.check(line.candidate, with_reference, first && options.measure);
      const Tolerance& row = tolerance(line.candidate.fusion->tolerance);
      line.check->tolerance = options.tolerance.value_or(row.relative);
      line.check->tolerance_name = options.tolerance ? "--tolerance" : std::string(row.name);
    }
  }
  report.model = check_model(report, model, weights.table, backend, *reference, options);
}

}  // namespace hone
