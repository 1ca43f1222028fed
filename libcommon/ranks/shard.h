// Who takes which part of a thing that several ranks share.
#pragma once

#include <algorithm>
#include <cstdint>

namespace hone {

struct Shard {
  int rank = 0;  // in [0, count)
  int count = 1;
  bool whole() const { return count == 1; }
};

struct Range {
  int64_t begin = 0;
  int64_t count = 0;
};

// The rank's part of `total` things that are handed out in units (the last may be shorter), as
// evenly as they go: in the order of the ranks, without a gap.
inline Range part_of(int64_t total, int64_t unit, const Shard& shard) {
  const int64_t units = (total + unit - 1) / unit;
  const int64_t begin = std::min(units * shard.rank / shard.count * unit, total);
  const int64_t end = std::min(units * (shard.rank + 1) / shard.count * unit, total);
  return {begin, end - begin};
}

}  // namespace hone
