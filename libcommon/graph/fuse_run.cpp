#include "libcommon/graph/fuse_run.h"

#include <algorithm>
#include <set>

#include "kernels/check.h"
#include "kernels/open.h"
#include "libcommon/base/rng.h"
#include "libcommon/bench/measure.h"
#include "libcommon/bench/stats.h"
#include "libcommon/graph/buffer.h"
#include "libcommon/graph/execute.h"

namespace hone {
namespace {

constexpr auto kFloat = static_cast<int64_t>(sizeof(float));
constexpr DType kKvType = DType::kF32;  // fusions are compared, not the rounding of a cache

// ---- A step of random tokens of one sequence, with a cache of its own.
class RandomStep {
 public:
  RandomStep(Backend& backend, const LoadedModel& model, int64_t tokens, uint64_t seed)
      : tokens_(tokens) {
    const auto vocab = static_cast<uint64_t>(model.spec.vocab);
    for (int64_t i = 0; i <= tokens; ++i) {
      ids_.push_back(static_cast<int32_t>(random_bits(seed, 0, static_cast<uint64_t>(i)) % vocab));
      positions_.push_back(static_cast<int32_t>(i));
    }
    sequences_.assign(ids_.size(), 0);
    for (const LayerSpec& layer : model.spec.layers) {
      const AttentionSpec& a = layer.attention;
      const int64_t bytes = kv_tile_offset(kKvType, a.head_dim, capacity(), a.kv_heads, 0);
      buffers_.emplace_back(backend, bytes);
      auto* const keys = buffers_.back().as<std::byte>();
      buffers_.emplace_back(backend, bytes);
      cache_.push_back({keys, buffers_.back().as<std::byte>(), kKvType});
    }
    if (model.spec.positions == PositionKind::kRope) {
      inv_freq_ = rope_frequencies(model.spec.rope, tokens_ + 1, model.spec.context);
    }
  }

  // All tokens, all logits wanted.
  StepInputs prefill() { return inputs(0, tokens_); }
  // One more token after them.
  StepInputs decode() { return inputs(tokens_, 1); }

 private:
  int64_t capacity() const { return kv_capacity(tokens_ + 1); }

  StepInputs inputs(int64_t begin, int64_t count) {
    rope_ = {.begin = 0, .count = count, .inv_freq = inv_freq_.data()};
    return {.tokens = count,
            .wanted = count,
            .ids = ids_.data() + begin,
            .sequences = sequences_.data(),
            .positions = positions_.data() + begin,
            .wanted_rows = positions_.data(),  // 0, 1, 2, ...
            .rope = {&rope_, 1},
            .cache = cache_,
            .capacity = capacity()};
  }

  int64_t tokens_;
  std::vector<int32_t> ids_, positions_, sequences_;
  std::vector<Buffer> buffers_;
  std::vector<CacheLayer> cache_;
  std::vector<double> inv_freq_;
  RopeRun rope_;
};

Timing measured(const std::function<void()>& unfused, const std::function<void()>& fused,
                double max_seconds) {
  const auto timed = [](const std::function<void()>& body) {
    return [&body] {
      const double start = seconds_now();
      body();
      return seconds_now() - start;
    };
  };
  const std::vector<Samples> samples =
      measure_interleaved({timed(unfused), timed(fused)},
                          {.repetitions = 15, .max_warmups = 5, .max_seconds = max_seconds});
  return {.unfused_seconds = median(samples[0].seconds),
          .fused_seconds = median(samples[1].seconds)};
}

// ---- Single chains.
// Holds every value of one unfused step, so that any chain can be run again on its true inputs.
class ChainRunner {
 public:
  ChainRunner(const FuseReport& report, const WeightTable& weights, Backend& backend,
              Backend& reference, RandomStep& step)
      : graph_(report.before),
        inputs_(step.prefill()),
        limits_{.tokens = report.shape.tokens, .wanted = report.shape.tokens, .reuse = false},
        backend_(backend),
        executor_(backend, graph_, weights),
        reference_(reference, graph_, weights) {
    const Plan plan = plan_arena(graph_, limits_);
    arena_ = Buffer(backend, plan.arena_bytes);
    executor_.bind(plan, arena_.as<std::byte>());
    executor_.run(inputs_);
    for (size_t i = 0; i < graph_.values.size(); ++i) {
      values_.push_back(executor_.buffer(static_cast<int>(i)));
    }
  }

  ChainCheck check(const Candidate& candidate, bool with_reference, bool measure) {
    const std::vector<Node> fused = {candidate.result};
    const Results unfused = results(executor_, candidate.chain, candidate.result.outputs);
    const Results as_fused = results(executor_, fused, candidate.result.outputs);
    ChainCheck check;
    check.fused_unfused = apart(as_fused, unfused);
    if (with_reference) {
      const Results truth = results(reference_, candidate.chain, candidate.result.outputs);
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

  int64_t size(int id) const {
    const Value& value = graph_.values[static_cast<size_t>(id)];
    return value.rows == Rows::kState ? 0 : limits_.tokens * value.columns;
  }

  // Lets the nodes write into memory of their own and read what is not theirs from the unfused
  // step.
  std::vector<Buffer> redirect(Executor& executor, const std::vector<Node>& nodes) {
    std::vector<Buffer> scratch;
    for (const Node& node : nodes) {
      for (int id : node.inputs) {
        executor.set_buffer(id, values_[static_cast<size_t>(id)]);
      }
    }
    for (const Node& node : nodes) {
      for (int id : node.outputs) {
        scratch.emplace_back(backend_, std::max<int64_t>(size(id), 1) * kFloat);
        executor.set_buffer(id, scratch.back().as<float>());
      }
    }
    return scratch;
  }

  void run(const Executor& executor, const std::vector<Node>& nodes) const {
    for (const Node& node : nodes) executor.run_node(node, inputs_);
  }

  Results results(Executor& executor, const std::vector<Node>& nodes,
                  const std::vector<int>& outputs) {
    const std::vector<Buffer> scratch = redirect(executor, nodes);
    run(executor, nodes);
    Results results;
    for (int id : outputs) {
      const float* data = executor.buffer(id);
      results.emplace_back(data, data + size(id));
    }
    return results;
  }

  Timing time(const std::vector<Node>& chain, const std::vector<Node>& fused) {
    Executor other = executor_;
    const std::vector<Buffer> chain_memory = redirect(executor_, chain);
    const std::vector<Buffer> fused_memory = redirect(other, fused);
    return measured([&] { run(executor_, chain); }, [&] { run(other, fused); }, 0.05);
  }

  const Graph& graph_;
  StepInputs inputs_;
  PlanLimits limits_;
  Backend& backend_;
  Executor executor_;
  Executor reference_;
  Buffer arena_;
  std::vector<float*> values_;
};

// ---- The whole model.
class WholeRun {
 public:
  WholeRun(Backend& backend, const Graph& graph, const WeightTable& weights, int64_t tokens)
      : graph_(graph), executor_(backend, graph, weights), tokens_(tokens) {
    const Plan plan = plan_arena(graph, {.tokens = tokens, .wanted = tokens});
    arena_ = Buffer(backend, plan.arena_bytes);
    executor_.bind(plan, arena_.as<std::byte>());
  }

  void run(const StepInputs& inputs) const { executor_.run(inputs); }

  std::vector<float> logits(const StepInputs& inputs) const {
    run(inputs);
    const float* data = executor_.buffer(graph_.logits);
    const Value& value = graph_.values[static_cast<size_t>(graph_.logits)];
    return {data, data + tokens_ * value.columns};
  }

 private:
  const Graph& graph_;
  Executor executor_;
  int64_t tokens_;
  Buffer arena_;
};

bool rounds_inputs(const WeightTable& weights) {
  return std::any_of(weights.matrices.begin(), weights.matrices.end(),
                     [](const auto& entry) { return entry.second.quantize_input; });
}

ModelCheck check_model(const FuseReport& report, const LoadedModel& model, Backend& backend,
                       Backend& reference, const FuseRunOptions& options) {
  const WeightTable weights = weight_table(model);
  const int64_t tokens = report.shape.tokens;
  RandomStep unfused_step(backend, model, tokens, options.seed);
  RandomStep fused_step(backend, model, tokens, options.seed);
  const WholeRun unfused(backend, report.before, weights, tokens);
  const WholeRun fused(backend, report.after, weights, tokens);
  const std::vector<float> a = unfused.logits(unfused_step.prefill());
  const std::vector<float> b = fused.logits(fused_step.prefill());
  ModelCheck check;
  check.fused_unfused = compare(b, a);
  const Tolerance& row = tolerance(rounds_inputs(weights) ? "logits-rounded-inputs" : "logits");
  check.tolerance = row.relative;
  check.tolerance_name = row.name;
  if (report.figures_before.cost.flops <= options.reference_flops) {
    RandomStep step(reference, model, tokens, options.seed);
    const std::vector<float> truth =
        WholeRun(reference, report.before, weights, tokens).logits(step.prefill());
    check.fused_reference = compare(b, truth);
    check.unfused_reference = compare(a, truth);
  }
  if (options.measure) {
    check.prefill = measured([&] { unfused.run(unfused_step.prefill()); },
                             [&] { fused.run(fused_step.prefill()); }, 1.0);
    check.decode = measured([&] { unfused.run(unfused_step.decode()); },
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
  const WeightTable weights = weight_table(model);
  {
    RandomStep step(backend, model, report.shape.tokens, options.seed);
    ChainRunner runner(report, weights, backend, *reference, step);
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
  report.model = check_model(report, model, backend, *reference, options);
}

}  // namespace hone
