#include "libcommon/compress/matrix_input.h"

#include <algorithm>

#include "kernels/check.h"
#include "kernels/codec/codec.h"
#include "kernels/convert.h"

namespace hone {

MatrixInput MatrixInput::plain(const TensorInfo& tensor, bool transpose) {
  MatrixInput input;
  input.type_ = tensor.type;
  input.rows_ = tensor.rows();
  input.columns_ = tensor.columns();
  input.transpose_ = transpose;
  return input;
}

MatrixInput MatrixInput::joined(const StoredWeight& weight, const CheckpointHeader& header,
                                bool transpose) {
  CHECK(weight.payload >= 0 && weight.payload < static_cast<int64_t>(header.tensors.size()));
  MatrixInput input;
  input.joined_ = true;
  input.weight_ = weight;
  input.rows_ = weight.view.rows;
  input.columns_ = weight.view.columns;
  input.transpose_ = transpose;
  return input;
}

std::vector<int64_t> MatrixInput::part_indices(const StoredWeight& weight) {
  std::vector<int64_t> parts;
  for (int64_t part : {weight.scale, weight.zero_point, weight.index}) {
    if (part >= 0) parts.push_back(part);
  }
  std::sort(parts.begin(), parts.end());
  return parts;
}

void MatrixInput::start(const SideTensors& sides) {
  if (!joined_) return;
  parts_ = sides;
  if (weight_.zero_point < 0) return;
  const WeightView& view = weight_.view;
  const int64_t groups = view.columns / view.group;
  zeros_.resize(static_cast<size_t>(view.rows * groups));
  const Bytes& stored = parts_.at(weight_.zero_point);
  if (view.packed_bits > 0) {
    unpack_zeros(stored.data(), view.rows, groups, view.packed_bits, zeros_.data());
  } else {  // int-quantized: one byte each
    CHECK(stored.size() == zeros_.size());
    std::transform(stored.begin(), stored.end(), zeros_.begin(),
                   [](std::byte b) { return static_cast<int8_t>(b); });
  }
}

void MatrixInput::release() {
  parts_.clear();
  zeros_ = {};
  whole_ = {};
  chunk_ = {};
}

void MatrixInput::load(const Chunk& chunk, ThreadPool& pool) {
  chunk_ = chunk;
  if (joined_) {
    view_ = weight_.view;
    view_.payload = chunk.bytes.data();
    view_.row_stride = static_cast<int64_t>(chunk.bytes.size()) / std::max<int64_t>(chunk.count, 1);
    if (weight_.scale >= 0) {
      const int64_t scale_row = view_.columns / view_.group * row_bytes(view_.scale_type, 1);
      const int64_t skipped = view_.scale_rows == 1 ? 0 : chunk.first * scale_row;
      view_.scales = parts_.at(weight_.scale).data() + skipped;
      if (view_.scale_rows != 1) view_.scale_rows = chunk.count;
    }
    if (!zeros_.empty()) view_.zeros = zeros_.data() + chunk.first * (view_.columns / view_.group);
    if (weight_.index >= 0) {
      view_.index = parts_.at(weight_.index).data() + chunk.first * (view_.columns / 8);
    }
    view_.rows = chunk.count;
  }
  if (!transpose_) return;
  CHECK(chunk.first == 0 && chunk.count == rows_);
  whole_.resize(static_cast<size_t>(rows_ * columns_));
  pool.parallel_for(rows_, 16, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) stored_row(r, whole_.data() + r * columns_);
  });
}

void MatrixInput::stored_row(int64_t row, float* out) const {
  if (joined_) {
    decode_weight_row(view_, row, out);
    return;
  }
  const int64_t bytes = row_bytes(type_, columns_);
  widen_row(type_, chunk_.bytes.data() + row * bytes, columns_, out);
}

const std::byte* MatrixInput::stored(int64_t row) const {
  if (!stored_plainly()) return nullptr;
  return chunk_.bytes.data() + (row - chunk_.first) * row_bytes(type_, columns_);
}

void MatrixInput::row(int64_t row, float* out) const {
  if (!transpose_) {
    stored_row(row - chunk_.first, out);
    return;
  }
  for (int64_t r = 0; r < rows_; ++r) out[r] = whole_[static_cast<size_t>(r * columns_ + row)];
}

}  // namespace hone
