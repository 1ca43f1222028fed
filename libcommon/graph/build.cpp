// ModelSpec -> primitive graph. One function per block of a decoder; a block kind that the spec can
// express is a branch here.
#include <string>

#include "kernels/check.h"
#include "libcommon/graph/graph.h"

namespace hone {
namespace {

// Appends nodes; each method adds one and returns its output value.
class Builder {
 public:
  explicit Builder(const ModelSpec& spec) : spec_(spec) {}

  Graph build();

 private:
  int value(Rows rows, int64_t columns, const std::string& name) {
    graph_.values.push_back({rows, columns, name});
    return static_cast<int>(graph_.values.size()) - 1;
  }
  const Value& at(int id) const { return graph_.values[static_cast<size_t>(id)]; }

  std::string name_of(std::string_view what) const {
    const std::string name(what);
    return layer_ < 0 ? name : "layer " + std::to_string(layer_) + " " + name;
  }

  // A node with one output [rows of the first input, columns].
  int node(OpKind op, std::vector<int> inputs, int64_t columns, Node parts) {
    const Rows rows = inputs.empty() ? Rows::kTokens : at(inputs[0]).rows;
    parts.op = op;
    parts.inputs = std::move(inputs);
    parts.layer = layer_;
    parts.outputs = {value(rows, columns, parts.name)};
    graph_.nodes.push_back(std::move(parts));
    return graph_.nodes.back().outputs[0];
  }

  WeightKey key(Role role, bool bias = false) const { return {role, bias, layer_}; }

  int linear(int x, Role role, int64_t out, bool bias);
  int linear_over_ranks(int x, Role role, bool bias);
  int normalise(int x, Role role, int64_t dim);
  int add(int a, int b, std::string_view name);
  int rotate(int x, int64_t heads, const AttentionSpec& attention, std::string_view name);
  int embed();
  int attention(int x, const AttentionSpec& attention);
  int ffn(int x, const FfnSpec& ffn);
  int logits(int x);

  const ModelSpec& spec_;
  Graph graph_;
  int64_t layer_ = -1;
};

// x W^T, then the bias as an op of its own.
int Builder::linear(int x, Role role, int64_t out, bool bias) {
  const std::string name = name_of(role_name(role));
  int y = node(OpKind::kMatmul, {x}, out, {.weights = {key(role)}, .name = name});
  if (bias) {
    y = node(OpKind::kAddBias, {y}, out, {.weights = {key(role, true)}, .name = name + " bias"});
  }
  return y;
}

// A product whose inputs are spread over the ranks: the sum of their parts. One rank adds the bias.
int Builder::linear_over_ranks(int x, Role role, bool bias) {
  const int part = linear(x, role, spec_.hidden, bias && spec_.shard.rank == 0);
  if (spec_.shard.whole()) return part;
  return node(OpKind::kAllReduce, {part}, spec_.hidden,
              {.name = name_of(role_name(role)) + " sum"});
}

// RMS or layer norm over runs of `dim` elements: whole rows, or single heads (q and k norms, which
// are RMS in every architecture that has them).
int Builder::normalise(int x, Role role, int64_t dim) {
  const bool per_head = role == Role::kQNorm || role == Role::kKNorm;
  NormSpec norm = spec_.norm;
  if (per_head) norm = {.kind = NormKind::kRms, .eps = spec_.norm.eps, .bias = false};
  std::vector<WeightKey> weights = {key(role)};
  if (norm.bias) weights.push_back(key(role, true));
  return node(OpKind::kNorm, {x}, at(x).columns,
              {.weights = weights,
               .attributes = {.norm = norm, .norm_dim = dim},
               .name = name_of(role_name(role))});
}

int Builder::add(int a, int b, std::string_view name) {
  return node(OpKind::kAdd, {a, b}, at(a).columns, {.name = name_of(name)});
}

int Builder::rotate(int x, int64_t heads, const AttentionSpec& attention, std::string_view name) {
  const Attributes attributes = {.heads = heads,
                                 .head_dim = attention.head_dim,
                                 .rotary = spec_.rope.rotary,
                                 .attention_factor = spec_.rope.attention_factor};
  return node(OpKind::kRope, {x}, at(x).columns, {.attributes = attributes, .name = name_of(name)});
}

int Builder::embed() {
  int x = node(OpKind::kEmbed, {}, spec_.hidden,
               {.weights = {key(Role::kEmbedding)}, .name = "embedding"});
  if (spec_.positions == PositionKind::kLearned) {
    const int p = node(OpKind::kEmbed, {}, spec_.hidden,
                       {.weights = {key(Role::kPositionEmbedding)},
                        .attributes = {.from_positions = true},
                        .name = "position embedding"});
    x = add(x, p, "embedding + position");
  }
  return spec_.embedding_norm ? normalise(x, Role::kEmbeddingNorm, spec_.hidden) : x;
}

// x: [tokens, hidden], normalised. Returns the output projection [tokens, hidden].
int Builder::attention(int x, const AttentionSpec& a) {
  int q = linear(x, Role::kQ, a.heads * a.head_dim, a.qkv_bias);
  int k = linear(x, Role::kK, a.kv_heads * a.head_dim, a.qkv_bias);
  const int v = linear(x, Role::kV, a.kv_heads * a.head_dim, a.qkv_bias);
  if (a.qk_norm) {
    q = normalise(q, Role::kQNorm, a.head_dim);
    k = normalise(k, Role::kKNorm, a.head_dim);
  }
  if (spec_.positions == PositionKind::kRope) {
    q = rotate(q, a.heads, a, "rope q");
    k = rotate(k, a.kv_heads, a, "rope k");
  }
  const Attributes shape = {.heads = a.heads,
                            .kv_heads = a.kv_heads,
                            .head_dim = a.head_dim,
                            .scale = a.scale,
                            .window = a.window,
                            .alibi = spec_.positions == PositionKind::kAlibi,
                            .shard = spec_.shard};
  const int state =
      node(OpKind::kKvStore, {k, v}, 0, {.attributes = shape, .name = name_of("kv cache")});
  graph_.values[static_cast<size_t>(state)].rows = Rows::kState;
  const int mixed = node(OpKind::kAttention, {q, state}, a.heads * a.head_dim,
                         {.attributes = shape, .name = name_of("attention")});
  return linear_over_ranks(mixed, Role::kAttentionOutput, a.output_bias);
}

// x: [tokens, hidden], normalised. down(act(gate x) * up x), or down(act(up x)).
int Builder::ffn(int x, const FfnSpec& f) {
  const Attributes activation = {.activation = f.activation};
  int h;
  if (f.gated) {
    const int gate = linear(x, Role::kGate, f.dim, f.bias);
    const int up = linear(x, Role::kUp, f.dim, f.bias);
    const int active = node(OpKind::kUnary, {gate}, f.dim,
                            {.attributes = activation, .name = name_of("ffn activation")});
    h = node(OpKind::kMul, {active, up}, f.dim, {.name = name_of("ffn gate * up")});
  } else {
    const int up = linear(x, Role::kUp, f.dim, f.bias);
    h = node(OpKind::kUnary, {up}, f.dim,
             {.attributes = activation, .name = name_of("ffn activation")});
  }
  return linear_over_ranks(h, Role::kDown, f.bias);
}

// Only the rows whose logits are wanted pass the final norm and the head, the widest matmul of all.
// Ranks have a part of the vocabulary each.
int Builder::logits(int x) {
  const int wanted = node(OpKind::kGatherRows, {x}, spec_.hidden, {.name = "wanted rows"});
  graph_.values[static_cast<size_t>(wanted)].rows = Rows::kWanted;
  const int64_t own = part_of(spec_.vocab, 1, spec_.shard).count;
  const int normalised = normalise(wanted, Role::kFinalNorm, spec_.hidden);
  const int logits = linear(normalised, Role::kHead, own, false);
  if (spec_.shard.whole()) return logits;
  return node(OpKind::kAllGather, {logits}, spec_.vocab, {.name = "logits of all ranks"});
}

Graph Builder::build() {
  int x = embed();
  for (const LayerSpec& layer : spec_.layers) {
    ++layer_;
    const int mixed = attention(normalise(x, Role::kAttentionNorm, spec_.hidden), layer.attention);
    x = add(mixed, x, "attention residual");
    const int out = ffn(normalise(x, Role::kFfnNorm, spec_.hidden), layer.ffn);
    x = add(out, x, "ffn residual");
  }
  layer_ = -1;
  graph_.output = logits(x);
  return std::move(graph_);
}

}  // namespace

Graph build_graph(const ModelSpec& spec) {
  Graph graph = Builder(spec).build();
  CHECK(broken_rules(graph).empty());
  return graph;
}

bool is_vector(const WeightKey& key) {
  switch (key.role) {
    case Role::kEmbeddingNorm:
    case Role::kAttentionNorm:
    case Role::kQNorm:
    case Role::kKNorm:
    case Role::kFfnNorm:
    case Role::kFinalNorm:
      return true;
    default:
      return key.bias;
  }
}

std::vector<WeightKey> matrices_of(const Node& node) {
  std::vector<WeightKey> keys;
  for (const WeightKey& key : node.weights) {
    if (!is_vector(key)) keys.push_back(key);
  }
  return keys;
}

std::vector<int> producers(const Graph& graph) {
  std::vector<int> result(graph.values.size(), -1);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    for (int id : graph.nodes[i].outputs) result[static_cast<size_t>(id)] = static_cast<int>(i);
  }
  return result;
}

std::vector<std::vector<int>> consumers(const Graph& graph) {
  std::vector<std::vector<int>> result(graph.values.size());
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    for (int id : graph.nodes[i].inputs) {
      result[static_cast<size_t>(id)].push_back(static_cast<int>(i));
    }
  }
  result[static_cast<size_t>(graph.output)].push_back(static_cast<int>(graph.nodes.size()));
  return result;
}

}  // namespace hone
