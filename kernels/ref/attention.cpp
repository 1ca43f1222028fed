// Causal attention over a cache of keys and values (Vaswani et al. 2017).
#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/ref/ref_ops.h"

namespace hone::ref {
namespace {

// Where the tile of a position begins, in keys and in values.
int64_t tile_of(const AttentionArgs& args, int64_t token, int64_t head, int64_t position) {
  const int64_t kv_head = head / (args.heads / args.kv_heads);
  const int64_t row = args.sequences[token] * args.kv_heads + kv_head;
  return kv_tile_offset(args.type, args.head_dim, args.capacity, row, position);
}

void softmax(std::vector<double>& scores) {
  double largest = -std::numeric_limits<double>::infinity();
  for (const double s : scores) largest = std::max(largest, s);
  double sum = 0;
  for (double& s : scores) sum += s = std::exp(s - largest);
  for (double& s : scores) s /= sum;
}

// Scores of positions [first, first + scores.size()).
void score_keys(const AttentionArgs& args, int64_t token, int64_t head, int64_t first,
                std::vector<double>& scores) {
  const int64_t dim = args.head_dim;
  const float* const q = args.q + (token * args.heads + head) * dim;
  std::vector<float> key(dim);
  for (size_t k = 0; k < scores.size(); ++k) {
    const int64_t at = first + static_cast<int64_t>(k);
    decode_key(args.type, args.keys + tile_of(args, token, head, at), dim, at % kKvTile,
               key.data());
    double score = 0;
    for (int64_t i = 0; i < dim; ++i) score += static_cast<double>(q[i]) * key[i];
    scores[k] = score * args.scale;
    if (args.alibi_slopes) scores[k] += args.alibi_slopes[head] * static_cast<double>(at);
  }
}

void attend(const AttentionArgs& args, int64_t token, int64_t head) {
  const int64_t position = args.positions[token];
  const int64_t first = args.window > 0 ? std::max<int64_t>(0, position - args.window + 1) : 0;
  const int64_t dim = args.head_dim;
  std::vector<double> weights(position - first + 1);
  score_keys(args, token, head, first, weights);
  softmax(weights);
  std::vector<float> value(dim);
  std::vector<double> sums(dim, 0.0);
  for (size_t k = 0; k < weights.size(); ++k) {
    const int64_t at = first + static_cast<int64_t>(k);
    decode_value(args.type, args.values + tile_of(args, token, head, at), dim, at % kKvTile,
                 value.data());
    for (int64_t i = 0; i < dim; ++i) sums[i] += weights[k] * value[i];
  }
  float* const out = args.out + (token * args.heads + head) * dim;
  for (int64_t i = 0; i < dim; ++i) out[i] = static_cast<float>(sums[i]);
}

}  // namespace

void attention(BackendContext&, const AttentionArgs& args) {
  CHECK(args.kv_heads > 0 && args.heads % args.kv_heads == 0);
  for (int64_t t = 0; t < args.tokens; ++t) {
    CHECK(args.positions[t] >= 0 && args.positions[t] < args.capacity);
    for (int64_t h = 0; h < args.heads; ++h) attend(args, t, h);
  }
}

}  // namespace hone::ref
