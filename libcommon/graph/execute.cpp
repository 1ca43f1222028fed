#include "libcommon/graph/execute.h"

#include "kernels/check.h"
#include "libcommon/bench/measure.h"

namespace hone {

// One node of one step: each method fills the arguments of one backend op.
class NodeRunner {
 public:
  NodeRunner(const Executor& executor, const Node& node, const StepInputs& step)
      : e_(executor), ops_(executor.backend_.run), node_(node), a_(node.attributes), step_(step) {}

  void run() const;

 private:
  float* in(size_t i) const { return e_.buffer(node_.inputs[i]); }
  float* out(size_t i = 0) const { return e_.buffer(node_.outputs[i]); }
  const float* residual() const { return node_.inputs.size() > 1 ? in(1) : nullptr; }

  int64_t rows_of(int value) const {
    const Rows rows = e_.graph_.values[static_cast<size_t>(value)].rows;
    return rows == Rows::kWanted ? step_.wanted : step_.tokens;
  }
  int64_t columns_of(int value) const {
    return e_.graph_.values[static_cast<size_t>(value)].columns;
  }
  int64_t rows() const { return rows_of(node_.outputs[0]); }
  int64_t count() const { return rows() * columns_of(node_.outputs[0]); }

  const float* vector(size_t i) const { return e_.weights_.vector(node_.weights[i]); }

  // Where matrix i stands among the weights.
  size_t place_of(size_t i) const {
    size_t at = 0;
    for (;; ++at) {
      CHECK(at < node_.weights.size());
      if (!is_vector(node_.weights[at]) && i-- == 0) return at;
    }
  }
  const WeightView& matrix(size_t i) const {
    return e_.weights_.matrix(node_.weights[place_of(i)]);
  }
  // The bias that follows weight i, or null.
  const float* bias_after(size_t i) const {
    return i + 1 < node_.weights.size() && node_.weights[i + 1].bias ? vector(i + 1) : nullptr;
  }
  const float* bias_of(size_t matrix) const { return bias_after(place_of(matrix)); }

  // The norm that a product applies to its input, if it does.
  InputNorm input_norm() const {
    const WeightKey& first = node_.weights[0];
    if (first.bias || !is_vector(first)) return {};
    return {.weight = vector(0), .eps = a_.norm.eps};
  }

  // The norm of q's heads (i = 0) or k's (1), if they have one.
  InputNorm head_norm(size_t i) const {
    if (node_.weights.empty()) return {};
    return {.weight = vector(i), .eps = a_.norm.eps};
  }

  void embed() const {
    ops_.embed({.ids = a_.from_positions ? step_.positions : step_.ids,
                .table = matrix(0),
                .out = out(),
                .tokens = rows()});
  }

  void matmul() const {
    ops_.matmul({.x = in(0),
                 .weight = matrix(0),
                 .out = out(),
                 .tokens = rows(),
                 .bias = bias_of(0),
                 .activation = a_.activation,
                 .residual = residual(),
                 .norm = input_norm()});
  }

  void gated_matmul() const {
    ops_.gated_matmul({.x = in(0),
                       .gate = matrix(0),
                       .up = matrix(1),
                       .out = out(),
                       .tokens = rows(),
                       .activation = a_.activation,
                       .norm = input_norm()});
  }

  void qkv_matmul() const {
    QkvMatmulArgs args = {};
    args.x = in(0);
    args.tokens = rows();
    args.norm = input_norm();
    for (size_t i = 0; i < 3; ++i) {
      args.weight[i] = matrix(i);
      args.bias[i] = bias_of(i);
      args.out[i] = out(i);
    }
    ops_.qkv_matmul(args);
  }

  void norm() const {
    const int64_t runs = count() / a_.norm_dim;
    float* sum = node_.outputs.size() > 1 ? out(1) : nullptr;
    if (a_.norm.kind == NormKind::kRms) {
      ops_.rms_norm({.x = in(0),
                     .weight = vector(0),
                     .out = out(),
                     .rows = runs,
                     .dim = a_.norm_dim,
                     .eps = a_.norm.eps,
                     .residual = residual(),
                     .sum = sum});
    } else {
      ops_.layer_norm({.x = in(0),
                       .weight = vector(0),
                       .bias = bias_after(0),
                       .out = out(),
                       .rows = runs,
                       .dim = a_.norm_dim,
                       .eps = a_.norm.eps,
                       .residual = residual(),
                       .sum = sum});
    }
  }

  // The op turns in place: where the plan could not put the result over the input, a copy goes
  // first.
  void rope() const {
    if (in(0) != out()) {
      ops_.unary({.x = in(0), .out = out(), .count = count(), .activation = Activation::kNone});
    }
    for (const RopeRun& run : step_.rope) ops_.rope(rope_args(out(), a_.heads, run));
  }

  RopeArgs rope_args(float* x, int64_t heads, const RopeRun& run) const {
    return {.x = x + run.begin * heads * a_.head_dim,
            .positions = step_.positions + run.begin,
            .inv_freq = run.inv_freq,
            .tokens = run.count,
            .heads = heads,
            .head_dim = a_.head_dim,
            .rotary = a_.rotary,
            .attention_factor = a_.attention_factor};
  }

  const CacheLayer& cache() const { return step_.cache[static_cast<size_t>(node_.layer)]; }

  KvStoreArgs kv_store_args(const float* k, const float* v, int64_t begin, int64_t count) const {
    const int64_t width = a_.kv_heads * a_.head_dim;
    return {.k = k + begin * width,
            .v = v + begin * width,
            .keys = cache().keys,
            .values = cache().values,
            .type = cache().type,
            .sequences = step_.sequences + begin,
            .positions = step_.positions + begin,
            .tokens = count,
            .kv_heads = a_.kv_heads,
            .head_dim = a_.head_dim,
            .capacity = step_.capacity};
  }
  void kv_store() const { ops_.kv_store(kv_store_args(in(0), in(1), 0, step_.tokens)); }

  void rotary_attention() const {
    for (const RopeRun& run : step_.rope) {
      ops_.rope_kv_store({.rope_q = rope_args(in(0), a_.heads, run),
                          .rope_k = rope_args(in(1), a_.kv_heads, run),
                          .store = kv_store_args(in(1), in(2), run.begin, run.count),
                          .norm_q = head_norm(0),
                          .norm_k = head_norm(1)});
    }
    attention();
  }

  void attention() const {
    ops_.attention({.q = in(0),
                    .keys = cache().keys,
                    .values = cache().values,
                    .type = cache().type,
                    .out = out(),
                    .sequences = step_.sequences,
                    .positions = step_.positions,
                    .tokens = step_.tokens,
                    .heads = a_.heads,
                    .kv_heads = a_.kv_heads,
                    .head_dim = a_.head_dim,
                    .capacity = step_.capacity,
                    .scale = a_.scale,
                    .window = a_.window,
                    .alibi_slopes = slopes()});
  }

  void gated_activation() const {
    ops_.gated_activation(
        {.gate = in(0), .up = in(1), .out = out(), .count = count(), .activation = a_.activation});
  }

  // `exchange` from the input to the output, both in the host's memory.
  template <typename Exchange>
  void on_host(const Exchange& exchange) const {
    CHECK(e_.ranks_ != nullptr);
    if (e_.backend_.shares_host_memory()) return exchange(in(0), out());
    RankScratch& host = e_.scratch_;
    host.in.resize(static_cast<size_t>(rows() * columns_of(node_.inputs[0])));
    host.out.resize(static_cast<size_t>(count()));
    e_.backend_.copy_out(host.in.data(), in(0), host.in.size() * sizeof(float));
    exchange(host.in.data(), host.out.data());
    e_.backend_.copy_in(out(), host.out.data(), host.out.size() * sizeof(float));
  }

  // Where the devices of ranks talk to each other, or through the host.
  void all_reduce() const {
    if (DeviceGroup* const group = e_.backend_.group()) {
      return group->all_reduce_sum(in(0), out(), count());
    }
    on_host([&](const float* x, float* sum) {
      all_reduce_sum(*e_.ranks_, x, sum, count(), e_.scratch_.parts);
    });
  }

  void all_gather() const {
    const int64_t columns = columns_of(node_.outputs[0]);
    if (DeviceGroup* const group = e_.backend_.group()) {
      std::vector<int64_t> parts;
      const int ranks = e_.ranks_->size();
      for (int r = 0; r < ranks; ++r) parts.push_back(part_of(columns, 1, {r, ranks}).count);
      return group->all_gather_columns(in(0), out(), rows(), parts);
    }
    on_host([&](const float* x, float* all) {
      all_gather_columns(*e_.ranks_, {x, all, rows(), columns}, e_.scratch_.parts);
    });
  }

  const float* slopes() const { return a_.alibi ? e_.slopes_.at(a_.heads)->as<float>() : nullptr; }

  const Executor& e_;
  const OpTable& ops_;
  const Node& node_;
  const Attributes& a_;
  const StepInputs& step_;
};

void NodeRunner::run() const {
  switch (node_.op) {
    case OpKind::kEmbed:
      return embed();
    case OpKind::kMatmul:
      return matmul();
    case OpKind::kGatedMatmul:
      return gated_matmul();
    case OpKind::kQkvMatmul:
      return qkv_matmul();
    case OpKind::kAddBias:
      return ops_.add_bias({.x = in(0),
                            .bias = vector(0),
                            .out = out(),
                            .rows = rows(),
                            .dim = columns_of(node_.outputs[0])});
    case OpKind::kAdd:
      return ops_.add({.a = in(0), .b = in(1), .out = out(), .count = count()});
    case OpKind::kMul:
      return ops_.mul({.a = in(0), .b = in(1), .out = out(), .count = count()});
    case OpKind::kNorm:
      return norm();
    case OpKind::kRope:
      return rope();
    case OpKind::kKvStore:
      return kv_store();
    case OpKind::kAttention:
      return attention();
    case OpKind::kRotaryAttention:
      return rotary_attention();
    case OpKind::kUnary:
      return ops_.unary({.x = in(0), .out = out(), .count = count(), .activation = a_.activation});
    case OpKind::kGatedActivation:
      return gated_activation();
    case OpKind::kGatherRows:
      return ops_.gather_rows({.x = in(0),
                               .rows = step_.wanted_rows,
                               .out = out(),
                               .count = rows(),
                               .dim = columns_of(node_.outputs[0])});
    case OpKind::kAllReduce:
      return all_reduce();
    case OpKind::kAllGather:
      return all_gather();
  }
}

bool has_kernel(const Backend& backend, OpKind op) {
  const OpTable& run = backend.run;
  switch (op) {
    case OpKind::kNorm:
      return run.rms_norm.function && run.layer_norm.function;
    case OpKind::kRotaryAttention:
      return run.rope_kv_store.function && run.attention.function;
    case OpKind::kAllReduce:
    case OpKind::kAllGather:
      return true;
#define X(Name, name)   \
  case OpKind::k##Name: \
    return run.name.function != nullptr;
      X(Embed, embed)
      X(Matmul, matmul)
      X(GatedMatmul, gated_matmul)
      X(QkvMatmul, qkv_matmul)
      X(AddBias, add_bias)
      X(Add, add)
      X(Mul, mul)
      X(Rope, rope)
      X(KvStore, kv_store)
      X(Attention, attention)
      X(Unary, unary)
      X(GatedActivation, gated_activation)
      X(GatherRows, gather_rows)
#undef X
  }
  return false;
}

Executor::Executor(Backend& backend, const Graph& graph, const WeightTable& weights,
                   Communicator* ranks)
    : backend_(backend),
      graph_(graph),
      weights_(weights),
      ranks_(ranks),
      buffers_(graph.values.size(), nullptr) {
  for (const Node& node : graph.nodes) {
    const int64_t heads = node.attributes.heads;
    if (!node.attributes.alibi || slopes_.contains(heads)) continue;
    const Shard& shard = node.attributes.shard;
    const std::vector<float> slopes = alibi_slopes(heads * shard.count);  // of all ranks' heads
    const size_t bytes = static_cast<size_t>(heads) * sizeof(float);
    Buffer buffer(backend, static_cast<int64_t>(bytes));
    backend.copy_in(buffer.as<void>(), slopes.data() + heads * shard.rank, bytes);
    slopes_.emplace(heads, std::make_shared<const Buffer>(std::move(buffer)));
  }
}

void Executor::bind(const Plan& plan, std::byte* arena) {
  for (size_t i = 0; i < buffers_.size(); ++i) {
    buffers_[i] = plan.offsets[i] < 0 ? nullptr : reinterpret_cast<float*>(arena + plan.offsets[i]);
  }
}

void Executor::run(const StepInputs& step) const {
  for (const Node& node : graph_.nodes) {
    const Value& result = graph_.values[static_cast<size_t>(node.outputs[0])];
    if (step.wanted == 0 && result.rows == Rows::kWanted) continue;
    const double start = times_ ? seconds_now() : 0;
    run_node(node, step);
    if (times_) (*times_)[node.op] += seconds_now() - start;
  }
}

void Executor::run_node(const Node& node, const StepInputs& step) const {
  NodeRunner(*this, node, step).run();
}

}  // namespace hone
