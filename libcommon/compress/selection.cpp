#include "libcommon/compress/selection.h"

#include <bit>
#include <limits>
#include <utility>

#include "kernels/check.h"

namespace hone {
namespace {

constexpr size_t kHighBuckets = 1 << 15;  // the sign bit is always 0
constexpr size_t kLowBuckets = 1 << 16;

uint32_t bits_of(float score) { return std::bit_cast<uint32_t>(score); }

// Bucket in which the `wanted`-th smallest lies (wanted >= 1); `wanted` becomes its place within.
uint32_t locate(const std::vector<int64_t>& histogram, int64_t& wanted) {
  for (size_t bucket = 0; bucket < histogram.size(); ++bucket) {
    if (wanted <= histogram[bucket]) return static_cast<uint32_t>(bucket);
    wanted -= histogram[bucket];
  }
  CHECK(false);  // fewer scores were shown than are wanted
  return 0;
}

}  // namespace

Selection::Selection(int64_t count) : wanted_(count), none_(count == 0) { CHECK(count >= 0); }

Selection::Selection(Selection&& other) noexcept
    : wanted_(other.wanted_),
      ties_(other.ties_),
      high_(other.high_),
      none_(other.none_),
      bound_(other.bound_),
      histogram_(std::move(other.histogram_)) {}

Selection Selection::below(float bound) {
  Selection selection(0);
  selection.bound_ = bound;
  return selection;
}

void Selection::count(int level, std::span<const float> scores) {
  if (none_) return;
  std::vector<uint32_t> local(level == 0 ? kHighBuckets : kLowBuckets, 0);
  for (float score : scores) {
    const uint32_t bits = bits_of(score);
    if (level == 0) {
      ++local[bits >> 16];
    } else if (bits >> 16 == high_) {
      ++local[bits & 0xffff];
    }
  }
  const std::lock_guard lock(mutex_);
  histogram_.resize(local.size());  // not before it is needed: a plan has a selection per tensor
  for (size_t i = 0; i < local.size(); ++i) histogram_[i] += local[i];
}

void Selection::settle(int level) {
  if (none_) {
    bound_ = 0;
    return;
  }
  const uint32_t bucket = locate(histogram_, wanted_);
  if (level == 0) {
    high_ = bucket;
    histogram_.clear();
    return;
  }
  bound_ = std::bit_cast<float>(high_ << 16 | bucket);
  ties_ = wanted_;  // of the scores equal to the bound, so many are among the k smallest
  histogram_ = {};
}

}  // namespace hone
