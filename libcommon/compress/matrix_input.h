// A stored matrix as rows of float, whatever its storage: the input side of transforms.
//
// Plain and GGUF-block matrices are decoded row by row. A matrix in several parts (integers with
// scales, 2:4 positions) is decoded through its parts, which are the step's side tensors. GPT-2's
// Conv1D matrices lie [in, out]; transposed, they are seen as [out, in], which takes the whole
// matrix in memory.
#pragma once

#include "kernels/tensor_view.h"
#include "libcommon/compress/transform.h"
#include "libcommon/model/weights.h"

namespace hone {

class MatrixInput {
 public:
  // One tensor, element by element; its stored columns even where it is 2:4 packed.
  static MatrixInput plain(const TensorInfo& tensor, bool transpose);
  // All parts of `weight`, whose side tensors the step must list: part_indices().
  static MatrixInput joined(const StoredWeight& weight, const CheckpointHeader& header,
                            bool transpose);
  static std::vector<int64_t> part_indices(const StoredWeight& weight);

  // As seen: after transposing.
  int64_t rows() const { return transpose_ ? columns_ : rows_; }
  int64_t columns() const { return transpose_ ? rows_ : columns_; }
  bool transposed() const { return transpose_; }

  void start(const SideTensors& sides);
  void release();                                   // gives up all memory
  void load(const Chunk& chunk, ThreadPool& pool);  // chunk.bytes must stay alive until the next
  // Rows first_row() .. first_row() + loaded_rows() - 1 can be decoded, from any thread.
  int64_t first_row() const { return transpose_ ? 0 : chunk_.first; }
  int64_t loaded_rows() const { return transpose_ ? columns_ : chunk_.count; }
  void row(int64_t row, float* out) const;
  // The row's bytes where they are plain numbers of type(), else null. Rows follow each other.
  const std::byte* stored(int64_t row) const;
  DType type() const { return type_; }
  bool stored_plainly() const { return !joined_ && !transpose_; }

 private:
  void stored_row(int64_t row, float* out) const;  // row counts from the chunk's first

  DType type_ = DType::kF32;
  int64_t rows_ = 0;  // as stored (dense columns where joined)
  int64_t columns_ = 0;
  bool transpose_ = false;
  bool joined_ = false;
  StoredWeight weight_;  // joined only; indices into the header
  SideTensors parts_;
  std::vector<int8_t> zeros_;  // [rows, groups]
  Chunk chunk_;
  WeightView view_;           // joined only: of the loaded chunk
  std::vector<float> whole_;  // transposed only: [rows_, columns_]
};

}  // namespace hone
