#include "libcommon/quant/round_to_nearest.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "kernels/check.h"
#include "kernels/codec/codec.h"
#include "kernels/convert.h"
#include "libcommon/compress/finite.h"
#include "libcommon/quant/options.h"

namespace hone {
namespace {

constexpr int64_t kRangeElements = 1 << 16;

int64_t grain(int64_t columns) {
  return std::max<int64_t>(kRangeElements / std::max<int64_t>(columns, 1), 1);
}

// Elements inside the percentile.
int64_t inside(const Scheme& scheme, int64_t elements) {
  const double exact = std::ceil(scheme.percentile / 100 * static_cast<double>(elements));
  return std::clamp<int64_t>(static_cast<int64_t>(exact), 1, elements);
}

}  // namespace

struct RoundingTransform::Scratch {
  Scratch(int64_t columns, int64_t groups)
      : weights(static_cast<size_t>(columns)),
        codes(static_cast<size_t>(columns)),
        low(static_cast<size_t>(groups)),
        high(low),
        scales(low),
        zeros(static_cast<size_t>(groups)) {}

  std::vector<float> weights;
  std::vector<int8_t> codes;
  std::vector<float> low, high, scales;  // [groups]
  std::vector<int8_t> zeros;
};

RoundingTransform::RoundingTransform(MatrixInput input, RoundingJob job)
    : input_(std::move(input)),
      job_(std::move(job)),
      selection_(job_.scheme.range == RangeKind::kPercentile && per_tensor()
                     ? inside(job_.scheme, input_.rows() * input_.columns())
                     : 0) {
  CHECK(job_.scheme.scaled() && input_.columns() % sharing() == 0);
}

void RoundingTransform::start(const SideTensors& sides) {
  input_.start(sides);
  const int64_t scale_count = per_tensor() ? 1 : input_.rows() * groups();
  scales_.resize(static_cast<size_t>(scale_count * row_bytes(job_.scale_type, 1)));
  if (!job_.scheme.symmetric) zeros_.resize(static_cast<size_t>(input_.rows() * groups()));
  candidate_errors_.assign(kShrinkSteps, 0.0);
}

int64_t RoundingTransform::sharing() const {
  if (job_.scheme.strategy != Strategy::kGroup) return std::max<int64_t>(input_.columns(), 1);
  return job_.scheme.group * input_.columns() / job_.columns;  // half as many where 2:4 packed
}

int64_t RoundingTransform::payload_row_bytes() const {
  return packed() ? packed_row_bytes(input_.columns(), job_.scheme.bits) : input_.columns();
}

std::vector<TensorInfo> RoundingTransform::outputs() const {
  const int64_t rows = input_.rows();
  const std::string prefix = job_.name.substr(0, job_.name.size() - 6);  // ends with "weight"
  std::vector<TensorInfo> out;
  if (packed()) {
    out.push_back({prefix + "weight_packed", DType::kI32, {rows, payload_row_bytes() / 4}});
  } else {
    const bool is_float = job_.scheme.kind == SchemeKind::kFloat8;
    out.push_back({job_.name, is_float ? DType::kF8E4M3 : DType::kI8, {rows, input_.columns()}});
  }
  const std::vector<int64_t> shape =
      per_tensor() ? std::vector<int64_t>{1} : std::vector<int64_t>{rows, groups()};
  out.push_back({prefix + "weight_scale", job_.scale_type, shape});
  if (!job_.scheme.symmetric) {
    const int64_t words = packed_row_bytes(rows, job_.scheme.bits) / 4;
    out.push_back({prefix + "weight_zero_point", DType::kI32, {words, groups()}});
  }
  if (packed()) out.push_back({prefix + "weight_shape", DType::kI64, {2}});
  return out;
}

int RoundingTransform::scans() const {
  if (!per_tensor()) return 0;
  switch (job_.scheme.range) {
    case RangeKind::kPercentile:
      return Selection::kLevels;
    case RangeKind::kMse:
      return 2;
    default:
      return 1;
  }
}

void RoundingTransform::scan(int pass, const Chunk& chunk, ThreadPool& pool) {
  if (scan_pass_ >= 0 && pass != scan_pass_) settle(scan_pass_);
  scan_pass_ = pass;
  input_.load(chunk, pool);
  const int64_t first = input_.first_row();
  const int64_t count = input_.loaded_rows();
  const int64_t columns = input_.columns();
  std::vector<WeightRange> ranges(static_cast<size_t>(count));
  std::vector<std::vector<double>> errors(static_cast<size_t>(count));
  pool.parallel_for(count, grain(columns), [&](int64_t begin, int64_t end) {
    std::vector<float> rows(static_cast<size_t>((end - begin) * columns));
    for (int64_t r = begin; r < end; ++r) {
      const std::span<float> row(rows.data() + (r - begin) * columns, static_cast<size_t>(columns));
      input_.row(first + r, row.data());
      if (job_.scheme.range == RangeKind::kPercentile) continue;
      ranges[static_cast<size_t>(r)] = weight_range(row);
      if (pass == 0) continue;
      for (int step = 0; step < kShrinkSteps; ++step) {
        const auto f = static_cast<float>(shrink_factor(step));
        const Grid grid = grid_for({range_.low * f, range_.high * f}, job_.scheme, job_.scale_type);
        errors[static_cast<size_t>(r)].push_back(square_error(row, grid, job_.scheme));
      }
    }
    if (job_.scheme.range != RangeKind::kPercentile) return;
    for (float& value : rows) value = std::isfinite(value) ? std::fabs(value) : 0.0f;
    selection_.count(pass, rows);
  });
  for (const WeightRange& range : ranges) {
    range_.low = std::min(range_.low, range.low);
    range_.high = std::max(range_.high, range.high);
  }
  for (const auto& row : errors) {
    for (size_t step = 0; step < row.size(); ++step) candidate_errors_[step] += row[step];
  }
}

// After the last chunk of a scan.
void RoundingTransform::settle(int pass) {
  const Scheme& scheme = job_.scheme;
  if (scheme.range == RangeKind::kPercentile) {
    selection_.settle(pass);
    if (pass + 1 < Selection::kLevels) return;
    range_ = {-selection_.bound(), selection_.bound()};
  } else if (scheme.range == RangeKind::kMse && pass == 1) {
    const auto best = std::min_element(candidate_errors_.begin(), candidate_errors_.end());
    const auto f =
        static_cast<float>(shrink_factor(static_cast<int>(best - candidate_errors_.begin())));
    range_ = {range_.low * f, range_.high * f};
  }
  tensor_grid_ = grid_for(range_, scheme, job_.scale_type);
}

void RoundingTransform::store_scale(int64_t at, float scale) {
  const int64_t bytes = row_bytes(job_.scale_type, 1);
  encode_row(job_.scale_type, &scale, 1, scales_.data() + at * bytes);
}

void RoundingTransform::apply(const Chunk& chunk, Bytes& out, ThreadPool& pool) {
  if (scan_pass_ >= 0) settle(scan_pass_);
  scan_pass_ = -1;
  if (per_tensor()) store_scale(0, tensor_grid_.scale);
  input_.load(chunk, pool);
  const int64_t first = input_.first_row();
  const int64_t count = input_.loaded_rows();
  out.resize(static_cast<size_t>(count * payload_row_bytes()));
  std::vector<ErrorStatistics> rows(static_cast<size_t>(count));
  pool.parallel_for(count, grain(input_.columns()), [&](int64_t begin, int64_t end) {
    Scratch scratch(input_.columns(), groups());
    for (int64_t r = begin; r < end; ++r) {
      std::byte* const to = out.data() + r * payload_row_bytes();
      rows[static_cast<size_t>(r)] = round_row(first + r, to, scratch);
    }
  });
  for (const ErrorStatistics& row : rows) statistics_.add(row);
  if (!statistics_.worst_is_known()) {
    Bytes again(static_cast<size_t>(payload_row_bytes()));
    statistics_.set_worst(round_any_row(statistics_.worst_row, again.data()));
  }
}

Grid RoundingTransform::grid_of(int64_t row, int64_t group, std::span<const float> weights) {
  if (per_tensor()) return tensor_grid_;
  const Grid grid = find_grid(weights, job_.scheme, job_.scale_type);
  const int64_t at = row * groups() + group;
  store_scale(at, grid.scale);
  if (!zeros_.empty()) zeros_[static_cast<size_t>(at)] = static_cast<int8_t>(grid.zero);
  return grid;
}

// scratch.low and .high are known.
void RoundingTransform::find_grids(int64_t row, Scratch& scratch) {
  const int64_t size = sharing();
  const int64_t count = groups();
  const bool only_range = needs_only_range(job_.scheme);
  for (int64_t g = 0; g < count; ++g) {
    const auto i = static_cast<size_t>(g);
    Grid grid = tensor_grid_;
    if (!per_tensor() && only_range) {
      grid = grid_of_range({scratch.low[i], scratch.high[i]}, job_.scheme, job_.scale_type);
    } else if (!per_tensor()) {
      grid = find_grid({scratch.weights.data() + g * size, static_cast<size_t>(size)}, job_.scheme,
                       job_.scale_type);
    }
    scratch.scales[i] = grid.scale;
    scratch.zeros[i] = static_cast<int8_t>(grid.zero);
  }
  if (per_tensor()) return;
  // Rounded to scale_type already: stored as they are.
  narrow_row(job_.scale_type, scratch.scales.data(), count,
             scales_.data() + row * row_bytes(job_.scale_type, count));
  if (!zeros_.empty()) std::copy_n(scratch.zeros.data(), count, zeros_.data() + row * count);
}

ErrorStatistics RoundingTransform::round_row(int64_t row, std::byte* out, Scratch& scratch) {
  const int64_t columns = input_.columns();
  const int64_t size = sharing();
  const float* const weights = scratch.weights.data();
  input_.row(row, scratch.weights.data());
  if (!group_ranges(weights, columns, size, scratch.low.data(), scratch.high.data())) {
    return round_any_row(row, out);
  }
  find_grids(row, scratch);
  const GroupRow groups{weights, columns, size, scratch.scales.data(),
                        job_.scheme.symmetric ? nullptr : scratch.zeros.data()};
  int8_t* const codes = packed() ? scratch.codes.data() : reinterpret_cast<int8_t*>(out);
  const RowError error = quantize_rows(groups, job_.scheme, codes);
  if (packed()) pack_codes(codes, columns, job_.scheme.bits, out);
  return ErrorStatistics::of_row(row, columns, error);
}

ErrorStatistics RoundingTransform::round_any_row(int64_t row, std::byte* out) {
  const auto columns = static_cast<size_t>(input_.columns());
  std::vector<float> weights(columns);
  std::vector<float> rounded(columns);
  std::vector<int8_t> codes(columns);
  input_.row(row, weights.data());
  if (!job_.allow_nan) check_finite(job_.subject, job_.name, row, weights, kAllowNan);
  const auto size = static_cast<size_t>(sharing());
  for (size_t g = 0; g * size < columns; ++g) {
    const std::span<const float> group(weights.data() + g * size, size);
    const Grid grid = grid_of(row, static_cast<int64_t>(g), group);
    quantize(group, grid, job_.scheme, codes.data() + g * size);
    dequantize({codes.data() + g * size, size}, grid, job_.scheme, rounded.data() + g * size);
  }
  if (packed()) {
    pack_row(codes.data(), input_.columns(), job_.scheme.bits, out);
  } else {
    std::memcpy(out, codes.data(), columns);
  }
  ErrorStatistics statistics;
  statistics.add_row(row, weights, rounded);
  return statistics;
}

void RoundingTransform::finish(Bytes& out) {
  out = std::exchange(scales_, {});
  if (!job_.scheme.symmetric) {
    const int64_t words = packed_row_bytes(input_.rows(), job_.scheme.bits) / 4;
    const size_t at = out.size();
    out.resize(at + static_cast<size_t>(words * groups() * 4));
    pack_zeros(zeros_.data(), input_.rows(), groups(), job_.scheme.bits, out.data() + at);
  }
  if (packed()) {
    const int64_t shape[2] = {input_.rows(), job_.columns};
    const auto* bytes = reinterpret_cast<const std::byte*>(shape);
    out.insert(out.end(), bytes, bytes + sizeof shape);
  }
  zeros_ = {};
  input_.release();
}

}  // namespace hone
