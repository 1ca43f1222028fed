// A tensor with some of its rows and columns taken out, and some set to zero: what structured
// pruning does to each tensor that a removed neuron or head touches.
#pragma once

#include "libcommon/compress/matrix_input.h"
#include "libcommon/compress/transform.h"
#include "libcommon/prune/mask_transform.h"

namespace hone {

// Rows and columns as stored. Empty vectors: all stay, none is zeroed.
struct Selected {
  std::vector<int64_t> keep_rows;     // ascending
  std::vector<int64_t> keep_columns;  // ascending
  std::vector<int64_t> zero_rows;     // of the input; set to zero where kept
  std::vector<int64_t> zero_columns;

  bool nothing() const {
    return keep_rows.empty() && keep_columns.empty() && zero_rows.empty() && zero_columns.empty();
  }
};

// The tensor's header afterwards. Vectors have one row: their elements are columns.
TensorInfo selected_tensor(const TensorInfo& tensor, const Selected& selected, DType type);

class SelectTransform final : public Transform {
 public:
  SelectTransform(const TensorInfo& tensor, Selected selected, DType type);

  void apply(const Chunk& chunk, Bytes& out, ThreadPool& pool) override;

  // elements counts what was there before; zeros_after those among what stays.
  const MaskStatistics& statistics() const { return statistics_; }

 private:
  MaskStatistics select_row(const float* in, int64_t row, std::byte* out) const;

  MatrixInput input_;
  Selected selected_;
  DType type_;
  int64_t columns_out_ = 0;
  std::vector<char> row_stays_;
  std::vector<char> row_zeroed_;
  std::vector<char> column_zeroed_;
  MaskStatistics statistics_;
};

}  // namespace hone
