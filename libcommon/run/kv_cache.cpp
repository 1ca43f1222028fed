#include "libcommon/run/kv_cache.h"

#include <algorithm>
#include <cstring>

#include "kernels/check.h"

namespace hone {
namespace {
constexpr int64_t kFirstCapacity = 256;
constexpr auto kFloat = static_cast<int64_t>(sizeof(float));
}  // namespace

KvCache::KvCache(Backend& backend, const ModelSpec& spec, int64_t sequences, int64_t limit)
    : backend_(backend), limit_(limit) {
  CHECK(backend.shares_host_memory());
  for (const LayerSpec& layer : spec.layers) {
    layers_.push_back({.rows = sequences * layer.attention.kv_heads,
                       .head_dim = layer.attention.head_dim,
                       .keys = {},
                       .values = {}});
  }
  views_.resize(layers_.size());
}

// In double, cut at 2^62: a context of two billion positions must not wrap round.
int64_t KvCache::bytes_for(int64_t capacity) const {
  double bytes = 0;
  for (const Layer& layer : layers_) {
    bytes += 2.0 * static_cast<double>(layer.rows) * static_cast<double>(layer.head_dim) *
             static_cast<double>(capacity) * static_cast<double>(kFloat);
  }
  return static_cast<int64_t>(std::min(bytes, 0x1p62));
}

int64_t KvCache::capacity_for(int64_t positions) const {
  CHECK(positions <= limit_);
  if (positions <= capacity_) return capacity_;
  const int64_t wanted = std::max({positions, 2 * capacity_, kFirstCapacity});
  return std::min(wanted, limit_);
}

void KvCache::reserve(int64_t positions) {
  const int64_t capacity = capacity_for(positions);
  if (capacity == capacity_) return;
  for (size_t i = 0; i < layers_.size(); ++i) {
    Layer& layer = layers_[i];
    layer.keys = grown(layer.keys, layer, capacity);
    layer.values = grown(layer.values, layer, capacity);
    views_[i] = {layer.keys.as<float>(), layer.values.as<float>()};
  }
  capacity_ = capacity;
}

// A larger copy of one buffer: each row of [capacity, head_dim] moves to its new place.
Buffer KvCache::grown(const Buffer& old, const Layer& layer, int64_t capacity) const {
  Buffer bigger(backend_, layer.rows * capacity * layer.head_dim * kFloat);
  const int64_t from = capacity_ * layer.head_dim;
  const int64_t to = capacity * layer.head_dim;
  for (int64_t row = 0; row < layer.rows && from > 0; ++row) {
    std::memcpy(bigger.as<float>() + row * to, old.as<float>() + row * from,
                static_cast<size_t>(from * kFloat));
  }
  return bigger;
}

}  // namespace hone
