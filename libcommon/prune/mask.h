// Which weights of a matrix go, given their scores: everything below a bound (unstructured), or all
// but the N best of each M neighbours (N:M).
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/dtype.h"
#include "libcommon/compress/selection.h"

namespace hone {

// Neighbouring rows of scores.
struct Band {
  const float* scores = nullptr;  // [rows, columns]
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t size() const { return rows * columns; }
};

// Neighbouring rows of F16 or BF16 as stored, whose scores are their magnitudes.
struct HalfBand {
  DType type = DType::kBF16;
  const std::byte* bytes = nullptr;  // [rows, columns]
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t size() const { return rows * columns; }
};

class Mask {
 public:
  virtual ~Mask() = default;

  virtual int64_t band_rows() const { return 1; }  // rows that must be decided together
  virtual int scans() const { return 0; }          // looks at all scores before the first mark
  virtual void scan(int /*pass*/, const Band&) {}  // from many threads at once
  virtual void settle(int /*pass*/) {}

  // Scores that only their order decides. Bands are marked in parallel, so the ties of the bands
  // before are counted first.
  virtual bool has_ties() const { return false; }
  virtual int64_t count_ties(const Band&) const { return 0; }
  virtual void take_ties(int64_t) {}

  // pruned[i] = 1 where element i of the band goes. first_tie: ties before this band since the last
  // take_ties.
  virtual void mark(const Band& band, int64_t first_tie, uint8_t* pruned) const = 0;

  // The same at memory speed, without decoding, for rows that are stored as the mask needs them.
  virtual bool takes_halves(DType, int64_t /*columns*/) const { return false; }
  // False where a number is NaN.
  virtual bool scan_halves(int /*pass*/, const HalfBand&) { return true; }
  virtual int64_t count_ties(const HalfBand&) const { return 0; }
  // out: what stays, and zeros. live, if the mask is 2:4: as prune_2_4 gives it.
  virtual void prune(const HalfBand&, int64_t /*first_tie*/, std::byte* /*out*/,
                     uint8_t* /*live*/) const {}
};

// What `selection` chooses goes. scan_here: the selection is of this tensor alone and is still to
// be made; otherwise it is settled and shared with other tensors. bf16: all scores are magnitudes
// of BF16 numbers, which are settled in one look.
struct BoundMaskJob {
  bool scan_here = false;
  bool bf16 = false;
};
std::unique_ptr<Mask> bound_mask(std::shared_ptr<Selection> selection, const BoundMaskJob& job);

// Of each `total` neighbours along a row (or, along_rows, down a column) the `keep` best stay; of
// equals the first. Neighbours short of a full group at the end stay all.
struct NeighbourGroups {
  int64_t keep = 2;
  int64_t total = 4;
  bool along_rows = false;
};
std::unique_ptr<Mask> group_mask(const NeighbourGroups& groups);

}  // namespace hone
