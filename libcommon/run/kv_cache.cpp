#include "libcommon/run/kv_cache.h"

#include <algorithm>

#include "kernels/check.h"

namespace hone {
namespace {
constexpr int64_t kFirstCapacity = 256;
static_assert(kFirstCapacity % kKvTile == 0);
}  // namespace

KvCache::KvCache(Backend& backend, const Graph& graph, const KvShape& shape)
    : backend_(backend), shape_(shape) {
  for (const Node& node : graph.nodes) {
    if (node.op != OpKind::kAttention && node.op != OpKind::kRotaryAttention) continue;
    layers_.push_back({.index = static_cast<size_t>(node.layer),
                       .rows = shape.sequences * node.attributes.kv_heads,
                       .tile_bytes = kv_tile_bytes(shape.type, node.attributes.head_dim),
                       .keys = {},
                       .values = {}});
  }
  views_.resize(layers_.empty() ? 0 : layers_.back().index + 1);
}

// In double, cut at 2^61: a context of two billion positions must not wrap round, nor a sum of
// these.
int64_t KvCache::bytes_for(int64_t capacity) const {
  const auto tiles = static_cast<double>(kv_capacity(capacity) / kKvTile);
  double bytes = 0;
  for (const Layer& layer : layers_) {
    bytes += 2.0 * static_cast<double>(layer.rows) * tiles * static_cast<double>(layer.tile_bytes);
  }
  return static_cast<int64_t>(std::min(bytes, 0x1p61));
}

int64_t KvCache::capacity_for(int64_t positions) const {
  CHECK(positions <= limit());
  if (positions <= capacity_) return capacity_;
  const int64_t wanted = std::max({positions, 2 * capacity_, kFirstCapacity});
  return kv_capacity(std::min(wanted, limit()));
}

void KvCache::reserve(int64_t positions) {
  const int64_t capacity = capacity_for(positions);
  if (capacity == capacity_) return;
  for (Layer& layer : layers_) {
    layer.keys = grown(layer.keys, layer, capacity);
    layer.values = grown(layer.values, layer, capacity);
    views_[layer.index] = {layer.keys.as<std::byte>(), layer.values.as<std::byte>(), type()};
  }
  capacity_ = capacity;
}

// A larger copy of one buffer: the tiles of each row move to their new place.
Buffer KvCache::grown(const Buffer& old, const Layer& layer, int64_t capacity) const {
  const int64_t from = capacity_ / kKvTile * layer.tile_bytes;
  const int64_t to = capacity / kKvTile * layer.tile_bytes;
  Buffer bigger(backend_, layer.rows * to);
  for (int64_t row = 0; row < layer.rows && from > 0; ++row) {
    backend_.copy(bigger.as<std::byte>() + row * to, old.as<std::byte>() + row * from,
                  static_cast<size_t>(from));
  }
  return bigger;
}

}  // namespace hone
