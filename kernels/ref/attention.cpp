// Causal attention over a cache of keys and values (Vaswani et al. 2017).
#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/ref/ref_ops.h"

namespace hone::ref {
namespace {

// Index of the first element of (sequence, head, position) in keys or values.
template <typename Args>
int64_t cache_offset(const Args& args, int64_t sequence, int64_t kv_head, int64_t position) {
  return ((sequence * args.kv_heads + kv_head) * args.capacity + position) * args.head_dim;
}

void softmax(std::vector<double>& scores) {
  double largest = -std::numeric_limits<double>::infinity();
  for (const double s : scores) largest = std::max(largest, s);
  double sum = 0;
  for (double& s : scores) sum += s = std::exp(s - largest);
  for (double& s : scores) s /= sum;
}

void attend(const AttentionArgs& args, int64_t token, int64_t head) {
  const int64_t position = args.positions[token];
  const int64_t first = args.window > 0 ? std::max<int64_t>(0, position - args.window + 1) : 0;
  const int64_t kv_head = head / (args.heads / args.kv_heads);
  const int64_t start = cache_offset(args, args.sequences[token], kv_head, first);
  const int64_t dim = args.head_dim;
  const float* const q = args.q + (token * args.heads + head) * dim;
  std::vector<double> weights(position - first + 1);
  for (size_t k = 0; k < weights.size(); ++k) {
    const float* const key = args.keys + start + static_cast<int64_t>(k) * dim;
    double score = 0;
    for (int64_t i = 0; i < dim; ++i) score += static_cast<double>(q[i]) * key[i];
    weights[k] = score * args.scale;
    if (args.alibi_slopes) weights[k] += args.alibi_slopes[head] * static_cast<double>(first + k);
  }
  softmax(weights);
  for (int64_t i = 0; i < dim; ++i) {
    double sum = 0;
    for (size_t k = 0; k < weights.size(); ++k) {
      sum += weights[k] * args.values[start + static_cast<int64_t>(k) * dim + i];
    }
    args.out[(token * args.heads + head) * dim + i] = static_cast<float>(sum);
  }
}

}  // namespace

void kv_store(BackendContext&, const KvStoreArgs& args) {
  for (int64_t t = 0; t < args.tokens; ++t) {
    CHECK(args.positions[t] >= 0 && args.positions[t] < args.capacity);
    for (int64_t h = 0; h < args.kv_heads; ++h) {
      const int64_t from = (t * args.kv_heads + h) * args.head_dim;
      const int64_t to = cache_offset(args, args.sequences[t], h, args.positions[t]);
      std::copy_n(args.k + from, args.head_dim, args.keys + to);
      std::copy_n(args.v + from, args.head_dim, args.values + to);
    }
  }
}

void attention(BackendContext&, const AttentionArgs& args) {
  CHECK(args.kv_heads > 0 && args.heads % args.kv_heads == 0);
  for (int64_t t = 0; t < args.tokens; ++t) {
    CHECK(args.positions[t] >= 0 && args.positions[t] < args.capacity);
    for (int64_t h = 0; h < args.heads; ++h) attend(args, t, h);
  }
}

}  // namespace hone::ref
