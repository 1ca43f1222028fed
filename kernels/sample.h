// The arithmetic of drawing a token from logits: in integers, so that every backend, whatever the
// order of its sums, draws the same token.
//
// A logit's *distance* is how far it lies below the row's largest, after temperature, in halvings
// of the probability: 32 bits, 26 of them behind the point. Tokens are ordered by it, the nearest
// first, of equals the lowest id. A distance's *weight* is its probability relative to that of the
// largest, in units of 2^-42; weights of kMostSampledIds add to less than 2^64. Both are exact
// functions: what is rounded is rounded alike everywhere. The distance is as fine as a float's
// mantissa, the weight is right to 1e-8.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/random.h"

namespace hone {

constexpr uint32_t kFarthest = ~uint32_t{0};
constexpr int kDistanceFraction = 26;  // bits behind the point
constexpr int64_t kMostSampledIds = int64_t{1} << 21;  // whose weights add to less than 2^64

// What one row's token is drawn by. Steps are taken in the order of Hugging Face's generate():
// repetition penalty, temperature, top-k, top-p, min-p, draw.
struct SampleRow {
  float scale = 0;               // distance of a logit that is 1 below the largest; 0: no draw, the
                                 // largest
  float repetition_penalty = 1;  // logits of ids in the text: divided by it if > 0, else multiplied
  const int32_t* text = nullptr;  // [text_length], in the backend's memory; ids count once
  int64_t text_length = 0;
  int64_t top_k = 0;              // the k nearest; 0: all
  double top_p = 1;               // the fewest nearest that together have this share of those
  uint32_t farthest = kFarthest;  // min-p: no distance beyond
  uint64_t seed = 0, stream = 0, index = 0;  // of the draw
};

// The token drawn; id -1 where there is a NaN or a positive infinity, or nothing is finite.
struct Sampled {
  int32_t id = -1;
  float below = 0;    // of the unmodified logits: how far the token's lies below the largest
  uint64_t mass = 0;  // their weights together at temperature 1; 0 where not asked for
};

// The scale for a temperature above 0. Never 0 and never infinite, so that a difference of 0 stays
// 0.
inline float distance_scale(double temperature) {
  const double scale = (uint64_t{1} << kDistanceFraction) * 1.4426950408889634 / temperature;
  return static_cast<float>(std::min(std::max(scale, 1e-30), 1e38));
}

// The distance of a token that is `share` times as likely as the likeliest, share in [0, 1].
inline uint32_t distance_of(double share) {
  const double distance = -std::log2(share) * (uint64_t{1} << kDistanceFraction);
  return distance < kFarthest ? static_cast<uint32_t>(distance) : kFarthest;
}

// below: the largest logit less this one. No product is followed by a sum here or in penalised():
// a compiler would fuse them where it can.
constexpr uint32_t sample_distance(float below, float scale) {
  const float scaled = below * scale;
  return scaled < 0x1p32f ? static_cast<uint32_t>(scaled) : kFarthest;
}

// A logit after the repetition penalty (Keskar et al., "CTRL", arXiv 1909.05858, section 4.1).
// Divided by the reciprocal, not multiplied: the product could be fused with the difference that
// follows.
constexpr float penalised(float logit, float penalty) {
  const float result = logit > 0 ? logit / penalty : logit / (1 / penalty);
  return result < std::numeric_limits<float>::max() ? result : std::numeric_limits<float>::max();
}

// 2^-distance. Taylor's series of 2^-(1/2 + s) in fixed point, |s| <= 1/2.
constexpr uint64_t sample_weight(uint32_t distance) {
  constexpr int kUnit = 42, kSeries = 37;
  const int64_t s = static_cast<int64_t>(distance & ((1u << kDistanceFraction) - 1)) -
                    (int64_t{1} << (kDistanceFraction - 1));
  int64_t sum = -1482322;
  sum = 14969769 + (sum * s >> kDistanceFraction);
  sum = -129580873 + (sum * s >> kDistanceFraction);
  sum = 934728413 + (sum * s >> kDistanceFraction);
  sum = -5394112185 + (sum * s >> kDistanceFraction);
  sum = 23346176696 + (sum * s >> kDistanceFraction);
  sum = -67362826685 + (sum * s >> kDistanceFraction);
  sum = 97184015999 + (sum * s >> kDistanceFraction);
  return static_cast<uint64_t>(sum) << (kUnit - kSeries) >> (distance >> kDistanceFraction);
}

// At least 1: the fewest tokens that reach a share are never none.
constexpr uint64_t share_of(double share, uint64_t mass) {
  const auto part = static_cast<uint64_t>(share * static_cast<double>(mass));
  return part > 0 ? part : 1;
}

// Which unit of `mass` is drawn, from 1: the token in whose weight it lies is the one.
constexpr uint64_t drawn_unit(const SampleRow& row, uint64_t mass) {
  const double uniform = random_uniform(row.seed, row.stream, row.index);
  const auto unit = static_cast<uint64_t>(uniform * static_cast<double>(mass));
  return (unit < mass ? unit : mass - 1) + 1;
}

// See DrawnIdsArgs.
constexpr int32_t drawn_id(int32_t id, const int32_t* drawn, int64_t stride) {
  if (id < 0) id = drawn[(-1 - int64_t{id}) * stride];
  return id < 0 ? 0 : id;
}

// log softmax of the unmodified logits at the token, natural logarithm, within 1e-6. `mass` must
// have been asked for.
inline double log_probability(const Sampled& sampled) {
  return -double{sampled.below} -
         std::log(static_cast<double>(sampled.mass) / static_cast<double>(sample_weight(0)));
}

}  // namespace hone
