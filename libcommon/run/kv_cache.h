// Keys and values of a graph's layers, [sequences, kv_heads, capacity, head_dim] each, in the tiles
// of kernels/kv_tile.h. The capacity starts small and doubles as the longest sequence grows, so
// that a model made for 128 k positions costs what its texts need.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "libcommon/graph/buffer.h"
#include "libcommon/graph/execute.h"
#include "libcommon/graph/graph.h"

namespace hone {

struct KvShape {
  int64_t sequences;
  int64_t limit;  // positions that a sequence may ever have
  DType type;     // F32, F16, BF16 or I8
};

class KvCache {
 public:
  KvCache(Backend& backend, const Graph& graph, const KvShape& shape);

  // The capacity that reserve(positions) would leave.
  int64_t capacity_for(int64_t positions) const;
  // Grows to hold so many positions of every sequence; what is cached stays.
  void reserve(int64_t positions);

  int64_t capacity() const { return capacity_; }
  int64_t bytes() const { return bytes_for(capacity_); }
  int64_t bytes_for(int64_t capacity) const;  // of all layers
  int64_t limit() const { return shape_.limit; }
  DType type() const { return shape_.type; }
  // By the model's layer; empty for those that the graph does not have.
  std::span<const CacheLayer> layers() const { return views_; }

 private:
  struct Layer {
    size_t index = 0;  // of the model's layers
    int64_t rows = 0;  // sequences * kv_heads
    int64_t tile_bytes = 0;
    Buffer keys;
    Buffer values;
  };
  Buffer grown(const Buffer& old, const Layer& layer, int64_t capacity) const;

  Backend& backend_;
  KvShape shape_;
  int64_t capacity_ = 0;
  std::vector<Layer> layers_;
  std::vector<CacheLayer> views_;
};

}  // namespace hone
