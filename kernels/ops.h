// Every op of the graph: contract, argument struct, and one row in FOR_EACH_OP. All activations are
// f32, row-major, contiguous unless a stride says otherwise; strides count elements. `tokens` rows
// belong to any mix of sequences. An output may alias an input only where the contract says so.
// A token's result depends on that token's inputs alone, never on how many rows came with it:
// decoding prompts together gives each the bytes it gets alone.
#pragma once

#include <cstdint>

#include "kernels/kv_tile.h"
#include "kernels/sample.h"
#include "kernels/tensor_view.h"

namespace hone {

enum class Activation : uint8_t {
  kNone,
  kSilu,      // x / (1 + exp(-x))
  kGelu,      // x/2 (1 + erf(x / sqrt 2))
  kGeluTanh,  // x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
};

// out[t, :] = row ids[t] of table. ids are in [0, table.rows).
struct EmbedArgs {
  const int32_t* ids;
  WeightView table;
  float* out;  // [tokens, table.columns]
  int64_t tokens;
};

// A product may normalise its input on the way in: x / sqrt(mean(x^2) + eps) * weight per token, as
// rms_norm does, spares writing and reading the normalised tokens. weight null: x as it is. Only
// where Backend::few_ops().
struct InputNorm {
  const float* weight = nullptr;  // [columns]
  double eps = 0;
};

// out[t, r] = activation(sum_c x[t, c] * weight[r, c] + bias[r]) + residual[t, r].
// out may alias residual. weight.quantize_input: see WeightView.
struct MatmulArgs {
  const float* x;  // [tokens, weight.columns]
  WeightView weight;
  float* out;  // [tokens, weight.rows], out_stride apart
  int64_t tokens;
  int64_t out_stride = 0;       // 0: weight.rows
  const float* bias = nullptr;  // [weight.rows]
  Activation activation = Activation::kNone;
  const float* residual = nullptr;  // [tokens, weight.rows]
  InputNorm norm = {};
};

// out[t, r] = activation(x[t] . gate[r]) * (x[t] . up[r]): both matrices in one pass over x.
struct GatedMatmulArgs {
  const float* x;  // [tokens, gate.columns]
  WeightView gate;
  WeightView up;  // same rows and columns as gate
  float* out;     // [tokens, gate.rows]
  int64_t tokens;
  Activation activation;
  InputNorm norm = {};
};

// Three matrices over one input, one pass: q, k, v of attention. Biases may be null.
struct QkvMatmulArgs {
  const float* x;  // [tokens, columns]
  WeightView weight[3];
  const float* bias[3];
  float* out[3];  // out[i]: [tokens, weight[i].rows]
  int64_t tokens;
  InputNorm norm = {};
};

// out = x / sqrt(mean(x^2) + eps) * weight, per row. With residual: x + residual is normalised, and
// written to sum (sum may alias x or residual). out may alias x.
struct RmsNormArgs {
  const float* x;       // [rows, dim]
  const float* weight;  // [dim]
  float* out;
  int64_t rows;
  int64_t dim;
  double eps;
  const float* residual = nullptr;  // [rows, dim]
  float* sum = nullptr;             // [rows, dim], with residual only
};

// out = (x - mean) / sqrt(variance + eps) * weight + bias, per row; residual and sum as above.
struct LayerNormArgs {
  const float* x;
  const float* weight;
  const float* bias;  // may be null
  float* out;
  int64_t rows;
  int64_t dim;
  double eps;
  const float* residual = nullptr;
  float* sum = nullptr;
};

// Rotate-half RoPE on the first `rotary` elements of each head, in place:
//   a = x[i], b = x[i + rotary/2]:  x[i] = a cos - b sin,  x[i + rotary/2] = b cos + a sin,
// with angle position * inv_freq[i] and both cos and sin times `attention_factor`.
// The angle is taken in double: at position 100,000 a float angle is off by 0.004.
struct RopeArgs {
  float* x;                  // [tokens, heads, head_dim]
  const int32_t* positions;  // [tokens]
  const double* inv_freq;    // [rotary / 2]
  int64_t tokens;
  int64_t heads;
  int64_t head_dim;
  int64_t rotary;
  double attention_factor = 1.0;
};

// Writes this step's keys and values into the cache at (sequence, position), rounded to its type.
struct KvStoreArgs {
  const float* k;  // [tokens, kv_heads, head_dim]
  const float* v;
  std::byte* keys;           // [sequences, kv_heads, capacity / kKvTile] tiles: kv_tile.h
  std::byte* values;         // the same
  DType type;                // of their elements: F32, F16, BF16 or I8
  const int32_t* sequences;  // [tokens] slot of each token
  const int32_t* positions;  // [tokens]
  int64_t tokens;
  int64_t kv_heads;
  int64_t head_dim;
  int64_t capacity;  // a multiple of kKvTile
};

// rope of q and of k in place, then kv_store of k and v: what lies between the three products and
// the attention, in one pass. rope and store describe the same tokens; rope_k.x is store.k. Where
// there are norms, of [head_dim] each, every head is normalised before it turns.
struct RopeKvStoreArgs {
  RopeArgs rope_q;
  RopeArgs rope_k;
  KvStoreArgs store;
  InputNorm norm_q = {};
  InputNorm norm_k = {};
};

// Causal attention over the cache: token t of sequence s at position p attends to positions
// max(0, p - window + 1) .. p. scores = scale * q.k + alibi_slope[head] * key_position; softmax;
// weighted sum of values. Query head h reads kv head h / (heads / kv_heads). Keys, values and
// scales are used as the cache holds them: no rounding beyond the one of kv_store.
struct AttentionArgs {
  const float* q;         // [tokens, heads, head_dim]
  const std::byte* keys;  // as in KvStoreArgs
  const std::byte* values;
  DType type;
  float* out;  // [tokens, heads, head_dim]
  const int32_t* sequences;
  const int32_t* positions;
  int64_t tokens;
  int64_t heads;
  int64_t kv_heads;
  int64_t head_dim;
  int64_t capacity;
  double scale;
  int64_t window = 0;                   // 0: no limit
  const float* alibi_slopes = nullptr;  // [heads]
};

// out[i] = activation(x[i]); may alias.
struct UnaryArgs {
  const float* x;
  float* out;
  int64_t count;
  Activation activation;
};

// out[i] = a[i] + b[i]  /  a[i] * b[i]; may alias.
struct BinaryArgs {
  const float* a;
  const float* b;
  float* out;
  int64_t count;
};

// out[r, c] = x[r, c] + bias[c]; may alias.
struct AddBiasArgs {
  const float* x;
  const float* bias;
  float* out;
  int64_t rows;
  int64_t dim;
};

// out[i] = activation(gate[i]) * up[i]; may alias.
struct GatedActivationArgs {
  const float* gate;
  const float* up;
  float* out;
  int64_t count;
  Activation activation;
};

// out[t, :] = x[rows[t], :]: keeps the rows whose logits are wanted.
struct GatherRowsArgs {
  const float* x;
  const int32_t* rows;  // [count]
  float* out;           // [count, dim]
  int64_t count;
  int64_t dim;
};

// out[r] = index of the largest of x[r, :], the lowest of equals; -1 where there is a NaN or a
// positive infinity, or nothing is finite.
struct ArgmaxArgs {
  const float* x;  // [rows, dim]
  int32_t* out;    // [rows]
  int64_t rows;
  int64_t dim;
};

// A token for each row of logits, drawn as sample.h defines it: the same one on every backend.
// Tokens at one distance come in the order of their ids; top-k keeps the first k of that order,
// top-p its shortest part with at least share_of(top_p) of the mass of those, min-p what lies
// within `farthest`; of the mass that all three keep, drawn_unit() chooses. scale 0: the largest
// after the penalty, of equals the lowest id.
struct SampleArgs {
  const float* x;             // [rows, dim]
  const SampleRow* settings;  // [rows], in the backend's memory
  Sampled* out;               // [rows]
  bool log_probabilities;     // Sampled::mass is wanted
  int64_t rows;
  int64_t dim;  // at most kMostSampledIds
};

// ids[i] = drawn[(-1 - ids[i]) * stride] where ids[i] is negative, and 0 where that is negative
// too: the tokens of a step that were drawn, as the rows named, by the step before.
struct DrawnIdsArgs {
  int32_t* ids;          // [count]
  const int32_t* drawn;  // of argmax; or of sample, its structs as integers
  int64_t stride;        // from one row's id to the next: 1, sizeof(Sampled) / 4
  int64_t count;
};

// X(name, argument struct): a backend that forgot an op does not link.
#define FOR_EACH_OP(X)                     \
  X(embed, EmbedArgs)                      \
  X(matmul, MatmulArgs)                    \
  X(gated_matmul, GatedMatmulArgs)         \
  X(qkv_matmul, QkvMatmulArgs)             \
  X(rms_norm, RmsNormArgs)                 \
  X(layer_norm, LayerNormArgs)             \
  X(rope, RopeArgs)                        \
  X(kv_store, KvStoreArgs)                 \
  X(rope_kv_store, RopeKvStoreArgs)        \
  X(attention, AttentionArgs)              \
  X(unary, UnaryArgs)                      \
  X(add, BinaryArgs)                       \
  X(mul, BinaryArgs)                       \
  X(add_bias, AddBiasArgs)                 \
  X(gated_activation, GatedActivationArgs) \
  X(gather_rows, GatherRowsArgs)           \
  X(argmax, ArgmaxArgs)                    \
  X(sample, SampleArgs)                    \
  X(drawn_ids, DrawnIdsArgs)

}  // namespace hone
