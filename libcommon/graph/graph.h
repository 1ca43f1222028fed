// A model's computation as a list of ops in execution order, in static single assignment form:
// every value is written once, by one node. build_graph() makes it of primitive ops only; the
// rewriter (rewrite.h) replaces chains by fused ops; the planner (plan.h) gives each value a place
// in one arena; execute.h runs it.
//
// A value is a matrix [rows, columns] of f32 whose number of rows is known at run time only: one
// row per token of the step, or one per token whose logits are wanted. An op's weights are named by
// role and layer (WeightKey), so the graph holds no pointer and can be built from a header alone.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/model/spec.h"

namespace hone {

// One row per kind of node: X(Name, name, inputs from, to, outputs from, to). The backend op that
// runs it has the same name (norm: rms_norm or layer_norm); all_reduce and all_gather, which stand
// where ranks share a model, are the communicator's.
#define FOR_EACH_OP_KIND(X)                        \
  X(Embed, embed, 0, 0, 1, 1)                      \
  X(Matmul, matmul, 1, 2, 1, 1)                    \
  X(GatedMatmul, gated_matmul, 1, 1, 1, 1)         \
  X(QkvMatmul, qkv_matmul, 1, 1, 3, 3)             \
  X(AddBias, add_bias, 1, 1, 1, 1)                 \
  X(Add, add, 2, 2, 1, 1)                          \
  X(Mul, mul, 2, 2, 1, 1)                          \
  X(Norm, norm, 1, 2, 1, 2)                        \
  X(Rope, rope, 1, 1, 1, 1)                        \
  X(KvStore, kv_store, 2, 2, 1, 1)                 \
  X(Attention, attention, 2, 2, 1, 1)              \
  X(RotaryAttention, rotary_attention, 3, 3, 1, 1) \
  X(Unary, unary, 1, 1, 1, 1)                      \
  X(GatedActivation, gated_activation, 2, 2, 1, 1) \
  X(GatherRows, gather_rows, 1, 1, 1, 1)           \
  X(AllReduce, all_reduce, 1, 1, 1, 1)             \
  X(AllGather, all_gather, 1, 1, 1, 1)

enum class OpKind : uint8_t {
#define X(Name, name, in_from, in_to, out_from, out_to) k##Name,
  FOR_EACH_OP_KIND(X)
#undef X
};

struct OpInfo {
  std::string_view name;  // "qkv_matmul"
  size_t inputs_from, inputs_to;
  size_t outputs_from, outputs_to;
};

inline constexpr OpInfo kOps[] = {
#define X(Name, name, in_from, in_to, out_from, out_to) {#name, in_from, in_to, out_from, out_to},
    FOR_EACH_OP_KIND(X)
#undef X
};
constexpr const OpInfo& info(OpKind kind) { return kOps[static_cast<size_t>(kind)]; }
constexpr std::string_view op_name(OpKind kind) { return info(kind).name; }

enum class Rows : uint8_t {
  kTokens,  // one per token of the step
  kWanted,  // one per token whose logits are wanted
  kState,   // no buffer: the layer's key-value cache after a kv_store; orders nodes, holds nothing
};

struct Value {
  Rows rows = Rows::kTokens;
  int64_t columns = 0;
  std::string name;  // "layer 3 attn.q": of the node that first made it
};

// A tensor of the model by what it is for.
struct WeightKey {
  Role role = Role::kEmbedding;
  bool bias = false;
  int64_t layer = -1;
  auto operator<=>(const WeightKey&) const = default;
};

// What an op needs beside inputs and weights; unused fields keep their defaults.
struct Attributes {
  Activation activation = Activation::kNone;  // matmul, gated_*, unary
  bool from_positions = false;                // embed: rows are positions, not token ids
  NormSpec norm = {};                         // norm, and ops that normalise their input
  int64_t norm_dim = 0;                       // norm: elements normalised together (head_dim: q, k)
  int64_t heads = 0;                          // rope, *attention
  int64_t kv_heads = 0;                       // kv_store, *attention
  int64_t head_dim = 0;                       // rope, kv_store, *attention
  int64_t rotary = 0;                         // rope, rotary_attention
  double attention_factor = 1.0;              // rope, rotary_attention
  double scale = 0.0;                         // *attention
  int64_t window = 0;                         // *attention
  bool alibi = false;                         // *attention
  Shard shard = {};                           // *attention: whose heads of heads * shard.count
};

struct Node {
  OpKind op = OpKind::kEmbed;
  std::vector<int> inputs = {};   // value ids. matmul: x [, residual]; norm: x [, residual];
                                  // kv_store: k, v; attention: q, state; rotary_attention: q, k,
                                  // v, of which q and k are turned in place; gated_activation:
                                  // gate, up
  std::vector<int> outputs = {};  // norm with residual: out, sum; qkv_matmul: q, k, v
  std::vector<WeightKey> weights = {};  // each matrix or norm followed by its bias, where it has
                                        // one; the norm of a product's input comes first;
                                        // rotary_attention: the norms of q and k, or none
  Attributes attributes = {};
  int64_t layer = -1;
  std::string name = {};                 // "layer 3 attn.q"
  std::vector<std::string> merged = {};  // fusions that made this node, oldest first
};

struct Graph {
  std::vector<Value> values;
  std::vector<Node> nodes;  // in execution order
  int input = -1;   // value id, there before the first node runs; -1: it begins with token ids
  int output = -1;  // value id: the logits [wanted, vocab]; of a part that ends between layers
                    // (cut.h) the hidden state [tokens, hidden]
};

// The primitive graph of a decoder: embedding, layers, the wanted rows, final norm, head.
Graph build_graph(const ModelSpec& spec);

// True for weights that are vectors: biases and norms.
bool is_vector(const WeightKey& key);
// The keys of a node's matrices, in order.
std::vector<WeightKey> matrices_of(const Node& node);

// Index of the node that writes each value; -1 for a value that no node writes any more.
std::vector<int> producers(const Graph& graph);
// Indices of the nodes that read each value, in execution order; a node that reads it twice
// appears twice. The output counts as read by node graph.nodes.size().
std::vector<std::vector<int>> consumers(const Graph& graph);

// Breaks of the graph's rules, one sentence each; empty when it is sound. The rules are a table in
// validate.cpp; the rewriter checks them after every fusion.
std::vector<std::string> broken_rules(const Graph& graph);

}  // namespace hone
