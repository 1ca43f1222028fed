#include "libcommon/prune/select_transform.h"

#include <algorithm>

#include "kernels/check.h"
#include "kernels/codec/codec.h"

namespace hone {
namespace {

std::vector<char> flags(const std::vector<int64_t>& indices, int64_t size) {
  std::vector<char> result(static_cast<size_t>(size), 0);
  for (int64_t i : indices) {
    CHECK(i >= 0 && i < size);
    result[static_cast<size_t>(i)] = 1;
  }
  return result;
}

}  // namespace

TensorInfo selected_tensor(const TensorInfo& tensor, const Selected& selected, DType type) {
  TensorInfo result = tensor;
  result.type = type;
  if (!selected.keep_columns.empty()) {
    result.shape.back() = static_cast<int64_t>(selected.keep_columns.size());
  }
  if (!selected.keep_rows.empty()) {
    CHECK(tensor.shape.size() == 2);
    result.shape.front() = static_cast<int64_t>(selected.keep_rows.size());
  }
  return result;
}

SelectTransform::SelectTransform(const TensorInfo& tensor, Selected selected, DType type)
    : input_(MatrixInput::plain(tensor, false)), selected_(std::move(selected)), type_(type) {
  const int64_t rows = tensor.rows();
  row_stays_ = selected_.keep_rows.empty() ? std::vector<char>(static_cast<size_t>(rows), 1)
                                           : flags(selected_.keep_rows, rows);
  row_zeroed_ = flags(selected_.zero_rows, rows);
  column_zeroed_ = flags(selected_.zero_columns, tensor.columns());
  columns_out_ = selected_.keep_columns.empty()
                     ? tensor.columns()
                     : static_cast<int64_t>(selected_.keep_columns.size());
}

MaskStatistics SelectTransform::select_row(const float* in, int64_t row, std::byte* out) const {
  MaskStatistics sum;
  sum.elements = input_.columns();
  for (int64_t c = 0; c < sum.elements; ++c) {
    sum.zeros_before += in[c] == 0;
    sum.square_sum += static_cast<double>(in[c]) * in[c];
  }
  if (out == nullptr) {
    sum.removed_squares = sum.square_sum;
    return sum;
  }
  std::vector<float> kept(static_cast<size_t>(columns_out_), 0.0f);
  double kept_squares = 0;
  for (int64_t i = 0; i < columns_out_; ++i) {
    const int64_t c =
        selected_.keep_columns.empty() ? i : selected_.keep_columns[static_cast<size_t>(i)];
    const bool zeroed =
        row_zeroed_[static_cast<size_t>(row)] || column_zeroed_[static_cast<size_t>(c)];
    const float value = zeroed ? 0.0f : in[c];
    kept[static_cast<size_t>(i)] = value;
    kept_squares += static_cast<double>(value) * value;
    sum.zeros_after += value == 0;
  }
  sum.removed_squares = std::max(sum.square_sum - kept_squares, 0.0);
  encode_row(type_, kept.data(), columns_out_, out);
  return sum;
}

void SelectTransform::apply(const Chunk& chunk, Bytes& out, ThreadPool& pool) {
  input_.load(chunk, pool);
  std::vector<int64_t> place(static_cast<size_t>(chunk.count), -1);  // row of the output chunk
  int64_t staying = 0;
  for (int64_t r = 0; r < chunk.count; ++r) {
    if (row_stays_[static_cast<size_t>(chunk.first + r)]) place[static_cast<size_t>(r)] = staying++;
  }
  const int64_t bytes = row_bytes(type_, columns_out_);
  out.resize(static_cast<size_t>(staying * bytes));
  std::vector<MaskStatistics> parts(static_cast<size_t>(chunk.count));
  const int64_t grain = std::max<int64_t>((1 << 16) / std::max<int64_t>(input_.columns(), 1), 1);
  pool.parallel_for(chunk.count, grain, [&](int64_t begin, int64_t end) {
    std::vector<float> values(static_cast<size_t>(input_.columns()));
    for (int64_t r = begin; r < end; ++r) {
      input_.row(chunk.first + r, values.data());
      const int64_t to = place[static_cast<size_t>(r)];
      parts[static_cast<size_t>(r)] =
          select_row(values.data(), chunk.first + r, to < 0 ? nullptr : out.data() + to * bytes);
    }
  });
  for (const MaskStatistics& part : parts) statistics_.add(part);
}

}  // namespace hone
