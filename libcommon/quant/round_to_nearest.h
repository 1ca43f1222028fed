// A matrix as integers or fp8 with scales, each weight rounded by itself ("round to nearest", RTN).
// Outputs in order: payload, scale, [zero point], [shape]; names and shapes as compressed-tensors
// has them.
#pragma once

#include <string>
#include <vector>

#include "libcommon/compress/matrix_input.h"
#include "libcommon/compress/selection.h"
#include "libcommon/compress/transform.h"
#include "libcommon/quant/error_statistics.h"
#include "libcommon/quant/range.h"

namespace hone {

struct RoundingJob {
  std::string name;     // "P.weight"
  std::string subject;  // for errors
  Scheme scheme;        // scaled()
  DType scale_type = DType::kBF16;
  int64_t columns = 0;  // dense inputs; twice the input's columns where it is 2:4 packed
  bool allow_nan = false;
};

class RoundingTransform final : public Transform {
 public:
  RoundingTransform(MatrixInput input, RoundingJob job);

  std::vector<TensorInfo> outputs() const;

  int scans() const override;
  bool whole() const override { return input_.transposed(); }
  void start(const SideTensors& sides) override;
  void scan(int pass, const Chunk& chunk, ThreadPool& pool) override;
  void apply(const Chunk& chunk, Bytes& out, ThreadPool& pool) override;
  void finish(Bytes& out) override;

  const ErrorStatistics& statistics() const { return statistics_; }

 private:
  // packed: integers in 32-bit words; otherwise one byte each.
  bool packed() const {
    return job_.scheme.kind == SchemeKind::kInt && !job_.scheme.quantize_input;
  }
  int64_t sharing() const;  // stored columns that share a scale
  int64_t groups() const { return input_.columns() / sharing(); }
  int64_t payload_row_bytes() const;
  bool per_tensor() const { return job_.scheme.strategy == Strategy::kTensor; }

  void settle(int passes_done);
  struct Scratch;  // of one thread
  ErrorStatistics round_row(int64_t row, std::byte* out, Scratch& scratch);
  ErrorStatistics round_any_row(int64_t row, std::byte* out);  // NaN and infinities, too
  void find_grids(int64_t row, Scratch& scratch);
  Grid grid_of(int64_t row, int64_t group, std::span<const float> weights);
  void store_scale(int64_t at, float scale);

  MatrixInput input_;
  RoundingJob job_;
  Bytes scales_;               // [rows or 1, groups] of scale_type
  std::vector<int8_t> zeros_;  // [rows, groups]
  ErrorStatistics statistics_;

  // One scale for the tensor: found in scans.
  WeightRange range_;
  std::vector<double> candidate_errors_;  // of RangeKind::kMse
  Selection selection_;                   // of RangeKind::kPercentile
  int scan_pass_ = -1;
  Grid tensor_grid_;
};

}  // namespace hone
