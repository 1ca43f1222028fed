#include "libcommon/prune/mask.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/check.h"
#include "kernels/convert.h"

namespace hone {
namespace {

constexpr int64_t kLargestGroup = 32;

class BoundMask final : public Mask {
 public:
  BoundMask(std::shared_ptr<Selection> selection, const BoundMaskJob& job)
      : selection_(std::move(selection)), job_(job) {}

  int scans() const override {
    if (!job_.scan_here) return 0;
    return job_.bf16 ? 1 : Selection::kLevels;
  }
  void scan(int pass, const Band& band) override {
    selection_->count(pass, {band.scores, static_cast<size_t>(band.size())});
  }
  bool scan_halves(int, const HalfBand& band) override {
    return selection_->count_short({band.bytes, static_cast<size_t>(2 * band.size())});
  }
  void settle(int pass) override {
    if (job_.bf16) {
      selection_->settle_short();
    } else {
      selection_->settle(pass);
    }
  }

  bool takes_halves(DType type, int64_t) const override {
    return job_.bf16 && type == DType::kBF16;
  }
  int64_t count_ties(const HalfBand& band) const override {
    return count_magnitude(band.bytes, band.size(), bound_bits());
  }
  void prune(const HalfBand& band, int64_t first_tie, std::byte* out, uint8_t*) const override;

  bool has_ties() const override { return selection_->ties_left() > 0; }
  int64_t count_ties(const Band& band) const override {
    return std::count(band.scores, band.scores + band.size(), selection_->bound());
  }
  void take_ties(int64_t number) override {
    selection_->take_ties(std::min(number, selection_->ties_left()));
  }

  void mark(const Band& band, int64_t first_tie, uint8_t* pruned) const override {
    const float bound = selection_->bound();
    int64_t left = std::max<int64_t>(selection_->ties_left() - first_tie, 0);
    for (int64_t i = 0; i < band.size(); ++i) pruned[i] = band.scores[i] < bound;
    for (int64_t i = 0; left > 0 && i < band.size(); ++i) {
      if (band.scores[i] == bound) {
        pruned[i] = 1;
        --left;
      }
    }
  }

 private:
  // Of a bound that is itself a BF16 number.
  int bound_bits() const {
    return static_cast<int>(std::bit_cast<uint32_t>(selection_->bound()) >> 16);
  }

  std::shared_ptr<Selection> selection_;
  BoundMaskJob job_;
};

void BoundMask::prune(const HalfBand& band, int64_t first_tie, std::byte* out, uint8_t*) const {
  const int bound = bound_bits();
  int64_t left = std::max<int64_t>(selection_->ties_left() - first_tie, 0);
  const bool all = left > 0 && left >= count_magnitude(band.bytes, band.size(), bound);
  prune_up_to(band.bytes, band.size(), all ? bound : bound - 1, out);
  if (all) return;
  for (int64_t i = 0; left > 0 && i < band.size(); ++i) {
    uint16_t bits;
    std::memcpy(&bits, out + 2 * i, sizeof bits);
    if ((bits & 0x7fff) != bound) continue;
    std::memset(out + 2 * i, 0, sizeof bits);
    --left;
  }
}

// Marks all but the `keep` best of `total` scores that lie `stride` apart. Rank of an element: how
// many are better, or equal and before it; total^2 comparisons, without branches, of at most 32.
// kTotal: total where the compiler is to know it (and to unroll), else 0.
template <int kTotal>
void mark_group(const float* scores, int64_t stride, const NeighbourGroups& groups,
                uint8_t* pruned) {
  const int total = kTotal > 0 ? kTotal : static_cast<int>(groups.total);
  const int keep = static_cast<int>(groups.keep);
  float s[kTotal > 0 ? kTotal : kLargestGroup];
  for (int i = 0; i < total; ++i) s[i] = scores[i * stride];
  for (int i = 0; i < total; ++i) {
    int rank = 0;
    for (int j = 0; j < i; ++j) rank += s[j] >= s[i];
    for (int j = i + 1; j < total; ++j) rank += s[j] > s[i];
    pruned[i * stride] = rank >= keep;
  }
}

template <int kTotal>
void mark_row(const float* scores, int64_t columns, const NeighbourGroups& groups,
              uint8_t* pruned) {
  for (int64_t c = 0; c + groups.total <= columns; c += groups.total) {
    mark_group<kTotal>(scores + c, 1, groups, pruned + c);
  }
}

class GroupMask final : public Mask {
 public:
  explicit GroupMask(const NeighbourGroups& groups) : groups_(groups) {
    CHECK(groups.keep >= 1 && groups.keep < groups.total && groups.total <= kLargestGroup);
  }

  int64_t band_rows() const override { return groups_.along_rows ? groups_.total : 1; }

  bool takes_halves(DType type, int64_t columns) const override {
    const bool two_of_four = groups_.keep == 2 && groups_.total == 4 && !groups_.along_rows;
    return two_of_four && columns % 8 == 0 && (type == DType::kF16 || type == DType::kBF16);
  }
  void prune(const HalfBand& band, int64_t, std::byte* out, uint8_t* live) const override {
    prune_2_4(band.bytes, band.size(), out, live);
  }

  void mark(const Band& band, int64_t, uint8_t* pruned) const override {
    std::memset(pruned, 0, static_cast<size_t>(band.size()));
    if (groups_.along_rows) {
      if (band.rows < groups_.total) return;
      for (int64_t c = 0; c < band.columns; ++c) {
        mark_group<0>(band.scores + c, band.columns, groups_, pruned + c);
      }
      return;
    }
    const auto mark_one = groups_.total == 4   ? mark_row<4>
                          : groups_.total == 8 ? mark_row<8>
                                               : mark_row<0>;
    for (int64_t r = 0; r < band.rows; ++r) {
      const int64_t at = r * band.columns;
      mark_one(band.scores + at, band.columns, groups_, pruned + at);
    }
  }

 private:
  NeighbourGroups groups_;
};

}  // namespace

std::unique_ptr<Mask> bound_mask(std::shared_ptr<Selection> selection, const BoundMaskJob& job) {
  return std::make_unique<BoundMask>(std::move(selection), job);
}

std::unique_ptr<Mask> group_mask(const NeighbourGroups& groups) {
  return std::make_unique<GroupMask>(groups);
}

}  // namespace hone
