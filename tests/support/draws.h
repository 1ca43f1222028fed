// Rows of logits and ways to draw from them, for the tests of the op `sample` on every backend.
#pragma once

#include <cmath>
#include <vector>

#include "kernels/sample.h"
#include "tests/support/matrices.h"

namespace hone {

// One row of each kind for a vocabulary of `dim`: spread, flat, in steps (many equals), one token
// far above the others, and what cannot be drawn from.
inline std::vector<std::vector<float>> rows_of_logits(int64_t dim, uint32_t seed) {
  const auto size = static_cast<size_t>(dim);
  std::vector<std::vector<float>> rows(4, normal_floats(dim, seed, 3));
  for (float& v : rows[1]) v = 0.25f;
  for (float& v : rows[2]) v = std::round(v);
  rows[2][size / 2] = -kInfinity;
  rows[3][size / 3] = 90;
  rows.push_back(normal_floats(dim, seed + 1));
  rows.back()[size - 1] = kNaN;
  rows.push_back(normal_floats(dim, seed + 1));
  rows.back()[0] = kInfinity;
  rows.emplace_back(size, -kInfinity);
  return rows;
}

// Every filter alone, all together, at its ends. text: in the memory of the backend under test.
inline std::vector<SampleRow> ways_to_draw(const int32_t* text, int64_t text_length) {
  const float one = distance_scale(1);
  const SampleRow all = {.scale = distance_scale(0.8),
                         .repetition_penalty = 1.3f,
                         .text = text,
                         .text_length = text_length,
                         .top_k = 40,
                         .top_p = 0.9,
                         .farthest = distance_of(0.05)};
  std::vector<SampleRow> ways = {
      {},
      {.repetition_penalty = 1.5f, .text = text, .text_length = text_length},
      {.scale = one},
      {.scale = distance_scale(1000)},
      {.scale = distance_scale(1e-300)},
      {.scale = one, .top_k = 1},
      {.scale = one, .top_k = 33},
      {.scale = one, .top_p = 1e-9},
      {.scale = one, .top_p = 0.5},
      {.scale = one, .top_p = 0.999},
      {.scale = one, .farthest = distance_of(0.2)},
      {.scale = one, .farthest = distance_of(1)},
      all,
      {.scale = one, .top_p = 0},
      {.scale = one, .top_k = 1000000}};
  for (size_t i = 0; i < ways.size(); ++i) {
    ways[i].seed = i;
    ways[i].stream = 3;
    ways[i].index = 100 + i;
  }
  return ways;
}

inline bool same(const Sampled& a, const Sampled& b) {
  return a.id == b.id && a.below == b.below && a.mass == b.mass;
}

// What the reference draws of `rows` of x.
inline std::vector<Sampled> reference_draws(const std::vector<float>& x,
                                            const std::vector<SampleRow>& rows,
                                            bool log_probabilities) {
  std::vector<Sampled> out(rows.size());
  reference().run.sample({.x = x.data(),
                          .settings = rows.data(),
                          .out = out.data(),
                          .log_probabilities = log_probabilities,
                          .rows = static_cast<int64_t>(rows.size()),
                          .dim = static_cast<int64_t>(x.size() / rows.size())});
  return out;
}

}  // namespace hone
