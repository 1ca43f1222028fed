// A matrix with some of its weights set to zero, as a transform: scores, mask, and the numbers for
// the report. Writes the matrix densely, or, for 2:4, packed as kernels/tensor_view.h draws it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "libcommon/compress/matrix_input.h"
#include "libcommon/compress/transform.h"
#include "libcommon/prune/mask.h"
#include "libcommon/prune/score.h"

namespace hone {

// What pruning did to one tensor. Sums run in row order: the same for any thread count.
struct MaskStatistics {
  int64_t elements = 0;
  int64_t zeros_before = 0;
  int64_t zeros_after = 0;
  double square_sum = 0;       // of all weights
  double removed_squares = 0;  // of those set to zero

  // With a threshold T: strength = (|w| - T) / (|w| + T), from -1 (a zero) over 0 (at T) to 1.
  double kept_strength = 0;  // sums
  double pruned_strength = 0;
  int64_t undecided = 0;  // |strength| < 0.1: a slightly different T would turn these

  void add(const MaskStatistics& other);
  double sparsity() const;      // zeros_after / elements
  double norm_removed() const;  // Frobenius norm of what went / norm before
};

struct MaskJob {
  std::string name;  // of the tensor, for errors
  std::string subject;
  DType type = DType::kF32;  // written; can_encode(type)
  bool packed = false;       // 2:4, columns a multiple of 8
  const ScoreMethod* score = nullptr;
  double threshold = 0;  // for the strength; 0: none
  bool has_threshold = false;
};

class MaskTransform final : public Transform {
 public:
  MaskTransform(MatrixInput input, std::unique_ptr<Mask> mask, MaskJob job);

  int scans() const override { return mask_->scans(); }
  bool whole() const override { return input_.transposed(); }
  int64_t row_multiple() const override { return mask_->band_rows(); }
  void start(const SideTensors& sides) override;
  void scan(int pass, const Chunk& chunk, ThreadPool& pool) override;
  void apply(const Chunk& chunk, Bytes& out, ThreadPool& pool) override;
  void finish(Bytes& out) override;

  const MaskStatistics& statistics() const { return statistics_; }

 private:
  struct Rows;  // decoded weights and scores of some rows
  Rows load_rows(int64_t begin, int64_t end) const;
  int64_t grain(int64_t elements) const;  // rows of one parallel range of so many elements
  void add_strength(const std::vector<float>& weights, const std::vector<uint8_t>& pruned,
                    MaskStatistics& sum) const;
  std::vector<int64_t> ties_before_ranges(ThreadPool& pool, int64_t ranges);
  MaskStatistics mask_range(const Rows& rows, int64_t first_tie, Bytes& out);
  bool takes_halves() const;
  HalfBand halves(int64_t begin, int64_t end) const;
  // Nothing where a number is not finite: mask_range knows what to do and to say.
  std::optional<MaskStatistics> mask_halves(int64_t begin, int64_t end, int64_t first_tie,
                                            Bytes& out);
  void write_row(int64_t row, const float* weights, Bytes& out);

  MatrixInput input_;
  std::unique_ptr<Mask> mask_;
  MaskJob job_;
  MaskStatistics statistics_;
  Bytes index_;  // packed: [rows, columns / 8]
  int scan_pass_ = -1;
};

// Type in which a pruned tensor is written: its own where hone can write it, F32 for F64, BF16 for
// GGUF blocks, whose zeros would not stay exact.
DType pruned_type(DType stored);

}  // namespace hone
