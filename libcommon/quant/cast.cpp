#include "libcommon/quant/cast.h"

#include <algorithm>
#include <cmath>

#include "kernels/check.h"
#include "kernels/codec/codec.h"
#include "kernels/convert.h"
#include "libcommon/base/error.h"
#include "libcommon/compress/finite.h"
#include "libcommon/quant/options.h"

namespace hone {

CastTransform::CastTransform(MatrixInput input, CastJob job)
    : input_(std::move(input)), job_(std::move(job)) {
  CHECK(can_encode(job_.type));
}

ErrorStatistics CastTransform::cast_row(int64_t row, std::byte* out,
                                        std::vector<float>& scratch) const {
  input_.row(row, scratch.data());
  const RowError error = narrow_and_compare(job_.type, scratch.data(), input_.columns(), out);
  if (!std::isfinite(error.square_sum) || !std::isfinite(error.square_error)) {
    return cast_any_row(row, out);
  }
  return ErrorStatistics::of_row(row, input_.columns(), error);
}

ErrorStatistics CastTransform::cast_any_row(int64_t row, std::byte* out) const {
  std::vector<float> before(static_cast<size_t>(input_.columns()));
  std::vector<float> after(before.size());
  input_.row(row, before.data());
  if (!job_.allow_nan) check_finite(job_.subject, job_.name, row, before, kAllowNan);
  encode_row(job_.type, before.data(), input_.columns(), out);
  decode_row(job_.type, out, input_.columns(), after.data());
  const int64_t overflow = job_.allow_nan ? -1 : first_not_finite(after);
  if (overflow >= 0) {
    throw Error(job_.subject + ": tensor '" + job_.name + "': element [" + std::to_string(row) +
                ", " + std::to_string(overflow) + "] = " +
                std::to_string(before[static_cast<size_t>(overflow)]) + " is too large for " +
                std::string(name(job_.type)) + "; bf16 and f32 can hold it (--allow-nan goes on)");
  }
  ErrorStatistics statistics;
  statistics.add_row(row, before, after);
  return statistics;
}

void CastTransform::apply(const Chunk& chunk, Bytes& out, ThreadPool& pool) {
  input_.load(chunk, pool);
  const int64_t first = input_.first_row();
  const int64_t count = input_.loaded_rows();
  const int64_t bytes = row_bytes(job_.type, input_.columns());
  out.resize(static_cast<size_t>(count * bytes));
  std::vector<ErrorStatistics> rows(static_cast<size_t>(count));
  const int64_t grain = std::max<int64_t>((1 << 16) / std::max<int64_t>(input_.columns(), 1), 1);
  pool.parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch(static_cast<size_t>(input_.columns()));
    for (int64_t r = begin; r < end; ++r) {
      rows[static_cast<size_t>(r)] = cast_row(first + r, out.data() + r * bytes, scratch);
    }
  });
  for (const ErrorStatistics& row : rows) statistics_.add(row);
  if (!statistics_.worst_is_known()) {
    std::vector<std::byte> again(static_cast<size_t>(bytes));
    statistics_.set_worst(cast_any_row(statistics_.worst_row, again.data()));
  }
}

}  // namespace hone
