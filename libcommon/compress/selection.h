// The k smallest of very many scores, exactly, in bounded memory.
//
// Scores are not negative, and the bits of non-negative floats order as the floats do. So the k-th
// smallest is found as in a radix select: a histogram over the upper 15 bits says in which bucket
// it lies, a second look at that bucket alone, over the lower 16 bits, says which value it is. Two
// looks at the data and two small tables, however many billions of scores there are. Equal scores
// are settled by their order of arrival, so the count is exact and the same for any thread count.
#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

namespace hone {

class Selection {
 public:
  static constexpr int kLevels = 2;

  // `count` smallest of all scores that will be shown.
  explicit Selection(int64_t count);
  // Every score below `bound`, none equal to it; needs no look at the data.
  static Selection below(float bound);

  // One look: all scores once at level 0, settle(0), all again at level 1, settle(1). count() may
  // be called from many threads at once.
  void count(int level, std::span<const float> scores);
  void settle(int level);

  // Scores that are BF16 have no lower bits: their magnitudes as stored, the only look, then
  // settle_short(). False, and nothing counted, where one of them is NaN.
  bool count_short(std::span<const std::byte> bf16);
  void settle_short();

  // Afterwards: score < bound() is chosen, and the first ties() of those equal to it.
  float bound() const { return bound_; }
  int64_t ties_left() const { return ties_; }
  // Ties already handed out to tensors that came before.
  void take_ties(int64_t number) { ties_ -= number; }

 private:
  int64_t wanted_ = 0;
  int64_t ties_ = 0;
  uint32_t high_ = 0;  // upper bits of the bound, known after level 0
  bool none_ = false;  // nothing to choose
  float bound_ = 0;
  void add(std::span<const uint32_t> counts);

  std::mutex mutex_;
  std::vector<int64_t> histogram_;

 public:
  Selection(Selection&& other) noexcept;
};

}  // namespace hone
