// Drawing a token for each row of logits; rows in parallel. A vocabulary of 100 k is not sorted:
// what a search ends in is found by bins of the distance, and only that bin is sorted.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/check.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/largest.h"

namespace hone::cpu {
namespace {

// A token as a number that orders like (distance, id).
using Key = uint64_t;
Key key_of(uint32_t distance, size_t id) { return Key{distance} << 32 | id; }
uint32_t distance_in(Key key) { return static_cast<uint32_t>(key >> 32); }

constexpr int kBinBits = 12;  // a bin is a 64th of a halving wide
constexpr size_t kBins = size_t{1} << kBinBits;
size_t bin_of(Key key) { return key >> (64 - kBinBits); }

// Tokens in any order, and their mass by bins.
struct Candidates {
  std::vector<Key> keys;
  std::vector<uint64_t> mass;  // [kBins]
  uint64_t total = 0;

  // The k nearest: those of nearer bins, and some of the bin in which the last one lies.
  void keep_nearest(size_t k) {
    std::vector<uint32_t> count(kBins, 0);
    for (const Key key : keys) ++count[bin_of(key)];
    size_t last_bin = 0;
    for (size_t nearer = count[0]; nearer < k; nearer += count[++last_bin]) {
    }
    std::erase_if(keys, [&](Key key) { return bin_of(key) > last_bin; });
    std::nth_element(keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(k) - 1, keys.end());
    keys.resize(k);
  }

  void weigh() {
    mass.assign(kBins, 0);
    for (const Key key : keys) mass[bin_of(key)] += sample_weight(distance_in(key));
    for (const uint64_t part : mass) total += part;
  }
};

// The shortest part, nearest tokens first, that has at least so much mass: its last token, its
// mass.
struct Reached {
  Key last;
  uint64_t mass;
};
Reached reach(const Candidates& all, uint64_t mass) {
  size_t bin = 0;
  uint64_t before = 0;
  while (before + all.mass[bin] < mass) before += all.mass[bin++];
  std::vector<Key> inside;
  std::copy_if(all.keys.begin(), all.keys.end(), std::back_inserter(inside),
               [&](Key key) { return bin_of(key) == bin; });
  std::sort(inside.begin(), inside.end());
  size_t last = 0;
  for (;; ++last) {
    before += sample_weight(distance_in(inside[last]));
    if (before >= mass) return {inside[last], before};
  }
}

int32_t draw(const std::vector<float>& logits, float top, const SampleRow& row) {
  Candidates all;
  all.keys.resize(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    all.keys[i] = key_of(sample_distance(top - logits[i], row.scale), i);
  }
  const auto k = static_cast<size_t>(row.top_k);
  if (k > 0 && k < all.keys.size()) all.keep_nearest(k);
  all.weigh();
  uint64_t mass = all.total;
  if (row.top_p < 1) mass = reach(all, share_of(row.top_p, mass)).mass;
  if (row.farthest < kFarthest) {
    uint64_t within = 0;
    for (const Key key : all.keys) {
      if (distance_in(key) <= row.farthest) within += sample_weight(distance_in(key));
    }
    mass = std::min(mass, within);  // both are the nearest tokens up to some one
  }
  return static_cast<int32_t>(reach(all, drawn_unit(row, mass)).last & 0xffffffffu);
}

void penalise(std::vector<float>& logits, const SampleRow& row) {
  std::vector<int32_t> seen(row.text, row.text + row.text_length);
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  for (const int32_t id : seen) {
    if (id < 0 || static_cast<size_t>(id) >= logits.size()) continue;
    float& logit = logits[static_cast<size_t>(id)];
    logit = penalised(logit, row.repetition_penalty);
  }
}

uint64_t mass_of(const float* x, float top, int64_t dim) {
  const float scale = distance_scale(1);
  uint64_t mass = 0;
  for (int64_t i = 0; i < dim; ++i) mass += sample_weight(sample_distance(top - x[i], scale));
  return mass;
}

Sampled sample_row(const float* x, const SampleArgs& args, const SampleRow& row) {
  const int32_t top = largest(x, args.dim);
  if (top < 0) return {};
  Sampled sampled{.id = top};
  if (row.scale > 0 || row.text) {
    std::vector<float> logits(x, x + args.dim);
    if (row.text) penalise(logits, row);
    sampled.id = largest(logits.data(), args.dim);
    if (row.scale > 0) sampled.id = draw(logits, logits[static_cast<size_t>(sampled.id)], row);
  }
  if (args.log_probabilities) sampled.mass = mass_of(x, x[top], args.dim);
  sampled.below = x[top] - x[sampled.id];
  return sampled;
}

void sample(BackendContext& opaque, const SampleArgs& args) {
  CHECK(args.dim <= kMostSampledIds);
  own(opaque).pool.parallel_for(args.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      args.out[r] = sample_row(args.x + r * args.dim, args, args.settings[r]);
    }
  });
}

void drawn_ids(BackendContext&, const DrawnIdsArgs& args) {
  for (int64_t i = 0; i < args.count; ++i) {
    args.ids[i] = drawn_id(args.ids[i], args.drawn, args.stride);
  }
}

}  // namespace

void (*choose_drawn_ids())(BackendContext&, const DrawnIdsArgs&) { return &drawn_ids; }
void (*choose_sample())(BackendContext&, const SampleArgs&) { return &sample; }

}  // namespace hone::cpu
