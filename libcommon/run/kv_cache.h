// Keys and values of all layers, [sequences, kv_heads, capacity, head_dim] f32 each. The capacity
// starts small and doubles as the longest sequence grows, so that a model made for 128 k positions
// costs what its texts need.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "libcommon/graph/buffer.h"
#include "libcommon/graph/execute.h"
#include "libcommon/model/spec.h"

namespace hone {

class KvCache {
 public:
  // limit: positions that a sequence may ever have.
  KvCache(Backend& backend, const ModelSpec& spec, int64_t sequences, int64_t limit);

  // The capacity that reserve(positions) would leave.
  int64_t capacity_for(int64_t positions) const;
  // Grows to hold so many positions of every sequence; what is cached stays.
  void reserve(int64_t positions);

  int64_t capacity() const { return capacity_; }
  int64_t bytes() const { return bytes_for(capacity_); }
  int64_t bytes_for(int64_t capacity) const;  // of all layers
  int64_t limit() const { return limit_; }
  std::span<const CacheLayer> layers() const { return views_; }

 private:
  struct Layer {
    int64_t rows = 0;  // sequences * kv_heads
    int64_t head_dim = 0;
    Buffer keys;
    Buffer values;
  };
  Buffer grown(const Buffer& old, const Layer& layer, int64_t capacity) const;

  Backend& backend_;
  int64_t limit_;
  int64_t capacity_ = 0;
  std::vector<Layer> layers_;
  std::vector<CacheLayer> views_;
};

}  // namespace hone
