// (left id, right id) -> what their merge gives. Open addressing with linear probing: a lookup is
// one multiplication and, mostly, one cache line; BPE does little else.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

namespace hone {

struct Merge {
  uint32_t rank;  // lower merges first
  int32_t id;     // of the merged token
};

class PairTable {
 public:
  explicit PairTable(size_t pairs = 0) {
    size_t slots = 16;
    while (slots < 2 * pairs) slots *= 2;
    slots_.resize(slots);
  }

  // The last of several values for one pair stays. Never more pairs than announced.
  void put(int32_t left, int32_t right, Merge merge) {
    Slot& slot = slots_[place(key(left, right))];
    slot = {key(left, right), merge};
  }

  const Merge* find(int32_t left, int32_t right) const {
    const Slot& slot = slots_[place(key(left, right))];
    return slot.key == kEmpty ? nullptr : &slot.merge;
  }

 private:
  static constexpr uint64_t kEmpty = std::numeric_limits<uint64_t>::max();
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge = {};
  };

  // Ids are never negative, so no key equals kEmpty.
  static uint64_t key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }

  // The slot that holds the key, or the empty one where it belongs.
  size_t place(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    uint64_t hash = key * 0x9e3779b97f4a7c15u;  // Fibonacci hashing
    hash ^= hash >> 32;
    for (size_t at = hash & mask;; at = (at + 1) & mask) {
      if (slots_[at].key == key || slots_[at].key == kEmpty) return at;
    }
  }

  std::vector<Slot> slots_;
};

}  // namespace hone
