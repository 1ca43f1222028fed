#include "libcommon/compress/selection.h"

#include <algorithm>
#include <bit>
#include <cstring>
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
  add(local);
}

void Selection::add(std::span<const uint32_t> counts) {
  const std::lock_guard lock(mutex_);
  histogram_.resize(counts.size());  // not before it is needed: a plan has a selection per tensor
  for (size_t i = 0; i < counts.size(); ++i) histogram_[i] += counts[i];
}

bool Selection::count_short(std::span<const std::byte> bf16) {
  // Two tables: neighbours of equal magnitude, as zeros are, do not wait for each other's count.
  std::vector<uint32_t> even(kHighBuckets, 0);
  std::vector<uint32_t> odd(kHighBuckets, 0);
  const auto bucket = [](uint64_t bits) { return static_cast<size_t>(bits & 0x7fff); };
  size_t i = 0;
  for (; i + 8 <= bf16.size(); i += 8) {
    uint64_t four;
    std::memcpy(&four, bf16.data() + i, sizeof four);
    ++even[bucket(four)];
    ++odd[bucket(four >> 16)];
    ++even[bucket(four >> 32)];
    ++odd[bucket(four >> 48)];
  }
  for (; i < bf16.size(); i += 2) {
    uint16_t bits;
    std::memcpy(&bits, bf16.data() + i, sizeof bits);
    ++even[bucket(bits)];
  }
  for (size_t k = 0; k < kHighBuckets; ++k) even[k] += odd[k];
  constexpr size_t kInfinity = 0x7f80;
  if (std::any_of(even.begin() + kInfinity + 1, even.end(), [](uint32_t n) { return n > 0; })) {
    return false;
  }
  if (!none_) add(even);
  return true;
}

void Selection::settle_short() {
  settle(0);
  if (none_) return;
  bound_ = std::bit_cast<float>(high_ << 16);
  ties_ = wanted_;
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
