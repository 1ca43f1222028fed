// Drawing a token, as the words of its contract go: all tokens sorted, then kept or not, one by
// one.
#include <algorithm>
#include <unordered_set>
#include <vector>

#include "kernels/ref/ref_ops.h"

namespace hone::ref {
namespace {

struct Token {
  int32_t id;
  uint32_t distance;
  uint64_t weight;
};

uint64_t mass_of(const std::vector<Token>& tokens) {
  uint64_t mass = 0;
  for (const Token& token : tokens) mass += token.weight;
  return mass;
}

// Nearest first.
std::vector<Token> ordered_tokens(const std::vector<float>& logits, float scale) {
  const float top = *std::max_element(logits.begin(), logits.end());
  std::vector<Token> tokens;
  for (size_t i = 0; i < logits.size(); ++i) {
    const uint32_t distance = sample_distance(top - logits[i], scale);
    tokens.push_back({static_cast<int32_t>(i), distance, sample_weight(distance)});
  }
  std::stable_sort(tokens.begin(), tokens.end(),
                   [](const Token& a, const Token& b) { return a.distance < b.distance; });
  return tokens;
}

void penalise(std::vector<float>& logits, const SampleRow& row) {
  if (row.text == nullptr) return;
  const std::unordered_set<int32_t> seen(row.text, row.text + row.text_length);
  for (const int32_t id : seen) {
    if (id < 0 || static_cast<size_t>(id) >= logits.size()) continue;
    float& logit = logits[static_cast<size_t>(id)];
    logit = penalised(logit, row.repetition_penalty);
  }
}

// The first tokens that together have at least `mass`.
void keep_mass(std::vector<Token>& tokens, uint64_t mass) {
  uint64_t sum = 0;
  size_t kept = 0;
  while (sum < mass) sum += tokens[kept++].weight;
  tokens.resize(kept);
}

int32_t draw(std::vector<Token> tokens, const SampleRow& row) {
  const auto k = static_cast<size_t>(row.top_k);
  if (k > 0 && k < tokens.size()) tokens.resize(k);
  if (row.top_p < 1) keep_mass(tokens, share_of(row.top_p, mass_of(tokens)));
  std::erase_if(tokens, [&](const Token& token) { return token.distance > row.farthest; });
  keep_mass(tokens, drawn_unit(row, mass_of(tokens)));
  return tokens.back().id;
}

Sampled sample_row(const float* x, const SampleArgs& args, const SampleRow& row) {
  const int32_t top = largest(x, args.dim);
  if (top < 0) return {};
  Sampled sampled;
  std::vector<float> logits(x, x + args.dim);
  if (args.log_probabilities) {
    sampled.mass = mass_of(ordered_tokens(logits, distance_scale(1)));
  }
  penalise(logits, row);
  sampled.id = row.scale > 0 ? draw(ordered_tokens(logits, row.scale), row)
                             : largest(logits.data(), args.dim);
  sampled.below = x[top] - x[sampled.id];
  return sampled;
}

}  // namespace

void sample(BackendContext&, const SampleArgs& args) {
  CHECK(args.dim <= kMostSampledIds);
  for (int64_t r = 0; r < args.rows; ++r) {
    args.out[r] = sample_row(args.x + r * args.dim, args, args.settings[r]);
  }
}

void drawn_ids(BackendContext&, const DrawnIdsArgs& args) {
  for (int64_t i = 0; i < args.count; ++i) {
    args.ids[i] = drawn_id(args.ids[i], args.drawn, args.stride);
  }
}

}  // namespace hone::ref
