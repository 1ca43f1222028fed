#include "libcommon/prune/mask_transform.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/check.h"
#include "kernels/codec/codec.h"
#include "kernels/convert.h"
#include "libcommon/compress/finite.h"

namespace hone {
namespace {

constexpr int64_t kRangeElements = 1 << 15;  // a range's floats stay in the second cache
// Many, for each range fills a histogram of its own; more yet where no floats are kept of them.
constexpr int64_t kScanElements = 1 << 18;
constexpr int64_t kScanHalves = 1 << 20;
constexpr double kUndecided = 0.1;

// Sum of squared differences. In four lanes, always the same: the compiler may not reorder a sum of
// doubles by itself.
double square_distance(const std::vector<float>& a, const std::vector<float>& b) {
  double lanes[4] = {};
  size_t i = 0;
  for (; i + 4 <= a.size(); i += 4) {
    for (size_t lane = 0; lane < 4; ++lane) {
      const double value = a[i + lane] - b[i + lane];
      lanes[lane] += value * value;
    }
  }
  for (; i < a.size(); ++i) lanes[0] += (static_cast<double>(a[i]) - b[i]) * (a[i] - b[i]);
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

}  // namespace

void MaskStatistics::add(const MaskStatistics& other) {
  elements += other.elements;
  zeros_before += other.zeros_before;
  zeros_after += other.zeros_after;
  square_sum += other.square_sum;
  removed_squares += other.removed_squares;
  kept_strength += other.kept_strength;
  pruned_strength += other.pruned_strength;
  undecided += other.undecided;
}

double MaskStatistics::sparsity() const {
  return elements == 0 ? 0 : static_cast<double>(zeros_after) / static_cast<double>(elements);
}

double MaskStatistics::norm_removed() const {
  return square_sum == 0 ? 0 : std::sqrt(removed_squares / square_sum);
}

DType pruned_type(DType stored) {
  if (is_block(stored)) return DType::kBF16;
  return can_encode(stored) ? stored : DType::kF32;
}

struct MaskTransform::Rows {
  int64_t begin = 0;
  int64_t count = 0;
  int64_t columns = 0;
  std::vector<float> weights;
  std::vector<float> scores;
};

MaskTransform::MaskTransform(MatrixInput input, std::unique_ptr<Mask> mask, MaskJob job)
    : input_(std::move(input)), mask_(std::move(mask)), job_(std::move(job)) {
  CHECK(can_encode(job_.type) && job_.score != nullptr);
  CHECK(!job_.packed || input_.columns() % 8 == 0);
}

void MaskTransform::start(const SideTensors& sides) {
  input_.start(sides);
  if (job_.packed) index_.resize(static_cast<size_t>(input_.rows() * input_.columns() / 8));
}

int64_t MaskTransform::grain(int64_t elements) const {
  const int64_t rows = std::max<int64_t>(elements / std::max<int64_t>(input_.columns(), 1), 1);
  const int64_t band = mask_->band_rows();
  return std::max(rows / band * band, band);
}

MaskTransform::Rows MaskTransform::load_rows(int64_t begin, int64_t end) const {
  Rows rows;
  rows.begin = begin;
  rows.count = end - begin;
  rows.columns = input_.columns();
  rows.weights.resize(static_cast<size_t>(rows.count * rows.columns));
  rows.scores.resize(rows.weights.size());
  for (int64_t r = 0; r < rows.count; ++r) {
    float* weights = rows.weights.data() + r * rows.columns;
    input_.row(begin + r, weights);
    check_finite(job_.subject, job_.name, begin + r, {weights, static_cast<size_t>(rows.columns)});
    job_.score->score(weights, rows.columns, rows.scores.data() + r * rows.columns);
  }
  return rows;
}

void MaskTransform::scan(int pass, const Chunk& chunk, ThreadPool& pool) {
  if (scan_pass_ >= 0 && pass != scan_pass_) mask_->settle(scan_pass_);
  scan_pass_ = pass;
  input_.load(chunk, pool);
  const int64_t first = input_.first_row();
  const int64_t rows = grain(takes_halves() ? kScanHalves : kScanElements);
  pool.parallel_for(input_.loaded_rows(), rows, [&](int64_t begin, int64_t end) {
    if (takes_halves() && mask_->scan_halves(pass, halves(first + begin, first + end))) return;
    const Rows rows = load_rows(first + begin, first + end);
    mask_->scan(pass, {rows.scores.data(), rows.count, rows.columns});
  });
}

// Entry i: ties before range i of the loaded rows; the last entry: all of them.
std::vector<int64_t> MaskTransform::ties_before_ranges(ThreadPool& pool, int64_t ranges) {
  std::vector<int64_t> ties(static_cast<size_t>(ranges) + 1, 0);
  if (!mask_->has_ties()) return ties;
  const int64_t first = input_.first_row();
  pool.parallel_for(input_.loaded_rows(), grain(kRangeElements), [&](int64_t begin, int64_t end) {
    int64_t& count = ties[static_cast<size_t>(begin / grain(kRangeElements)) + 1];
    if (takes_halves()) {
      count = mask_->count_ties(halves(first + begin, first + end));
      return;
    }
    const Rows rows = load_rows(first + begin, first + end);
    count = mask_->count_ties(Band{rows.scores.data(), rows.count, rows.columns});
  });
  for (size_t i = 1; i < ties.size(); ++i) ties[i] += ties[i - 1];
  return ties;
}

void MaskTransform::apply(const Chunk& chunk, Bytes& out, ThreadPool& pool) {
  if (scan_pass_ >= 0) mask_->settle(scan_pass_);
  scan_pass_ = -1;
  input_.load(chunk, pool);
  const int64_t count = input_.loaded_rows();
  const int64_t columns = job_.packed ? input_.columns() / 2 : input_.columns();
  out.resize(static_cast<size_t>(count * row_bytes(job_.type, columns)));
  const int64_t ranges = (count + grain(kRangeElements) - 1) / grain(kRangeElements);
  const std::vector<int64_t> ties = ties_before_ranges(pool, ranges);
  std::vector<MaskStatistics> parts(static_cast<size_t>(ranges));
  const int64_t first = input_.first_row();
  pool.parallel_for(count, grain(kRangeElements), [&](int64_t begin, int64_t end) {
    const auto range = static_cast<size_t>(begin / grain(kRangeElements));
    std::optional<MaskStatistics> done;
    if (takes_halves()) done = mask_halves(first + begin, first + end, ties[range], out);
    if (!done) done = mask_range(load_rows(first + begin, first + end), ties[range], out);
    parts[range] = *done;
  });
  mask_->take_ties(ties.back());
  for (const MaskStatistics& part : parts) statistics_.add(part);
}

bool MaskTransform::takes_halves() const {
  return job_.score->is_magnitude && !job_.has_threshold && input_.stored_plainly() &&
         input_.type() == job_.type && mask_->takes_halves(job_.type, input_.columns());
}

HalfBand MaskTransform::halves(int64_t begin, int64_t end) const {
  return {job_.type, input_.stored(begin), end - begin, input_.columns()};
}

std::optional<MaskStatistics> MaskTransform::mask_halves(int64_t begin, int64_t end,
                                                         int64_t first_tie, Bytes& out) {
  const HalfBand band = halves(begin, end);
  const int64_t size = band.size();
  const int64_t local = (begin - input_.first_row()) * band.columns;
  Bytes unpacked(job_.packed ? static_cast<size_t>(2 * size) : 0);
  std::byte* const masked = job_.packed ? unpacked.data() : out.data() + 2 * local;
  std::vector<uint8_t> live(static_cast<size_t>(size / 8));
  mask_->prune(band, first_tie, masked, live.data());
  const RowChange change = compare_pruned(band.type, band.bytes, masked, size);
  if (!std::isfinite(change.error.square_sum)) return std::nullopt;
  if (job_.packed) {
    pack_2_4(masked, live.data(), size, out.data() + local,
             index_.data() + begin * (band.columns / 8));
  }
  MaskStatistics sum;
  sum.elements = size;
  sum.zeros_before = change.zeros_before;
  sum.zeros_after = change.zeros_after;
  sum.square_sum = change.error.square_sum;
  sum.removed_squares = change.error.square_error;
  return sum;
}

MaskStatistics MaskTransform::mask_range(const Rows& rows, int64_t first_tie, Bytes& out) {
  MaskStatistics sum;
  std::vector<float> kept = rows.weights;
  std::vector<uint8_t> pruned(kept.size());
  const int64_t band_rows = mask_->band_rows() == 1 ? rows.count : mask_->band_rows();
  for (int64_t r = 0; r < rows.count; r += band_rows) {
    const int64_t at = r * rows.columns;
    mask_->mark({rows.scores.data() + at, std::min(band_rows, rows.count - r), rows.columns},
                first_tie, pruned.data() + at);
  }
  for (size_t i = 0; i < kept.size(); ++i) kept[i] = pruned[i] ? 0.0f : kept[i];
  sum.zeros_before = std::count(rows.weights.begin(), rows.weights.end(), 0.0f);
  sum.zeros_after = std::count(kept.begin(), kept.end(), 0.0f);
  sum.square_sum = square_distance(rows.weights, std::vector<float>(kept.size(), 0.0f));
  sum.removed_squares = square_distance(rows.weights, kept);  // kept: the same weight, or 0
  if (job_.has_threshold) add_strength(rows.weights, pruned, sum);
  sum.elements = static_cast<int64_t>(kept.size());
  for (int64_t r = 0; r < rows.count; ++r) {
    write_row(rows.begin + r, kept.data() + r * rows.columns, out);
  }
  return sum;
}

void MaskTransform::add_strength(const std::vector<float>& weights,
                                 const std::vector<uint8_t>& pruned, MaskStatistics& sum) const {
  const double t = job_.threshold;
  for (size_t i = 0; i < weights.size(); ++i) {
    const double w = std::fabs(static_cast<double>(weights[i]));
    const double strength = w + t == 0 ? 0 : (w - t) / (w + t);
    (pruned[i] ? sum.pruned_strength : sum.kept_strength) += strength;
    sum.undecided += std::fabs(strength) < kUndecided;
  }
}

void MaskTransform::write_row(int64_t row, const float* weights, Bytes& out) {
  const int64_t columns = input_.columns();
  const int64_t local = row - input_.first_row();
  if (!job_.packed) {
    const int64_t bytes = row_bytes(job_.type, columns);
    encode_row(job_.type, weights, columns, out.data() + local * bytes);
    return;
  }
  std::vector<float> kept(static_cast<size_t>(columns / 2));
  CHECK(compress_2_4(weights, columns, kept.data(), index_.data() + row * (columns / 8)));
  const int64_t bytes = row_bytes(job_.type, columns / 2);
  encode_row(job_.type, kept.data(), columns / 2, out.data() + local * bytes);
}

void MaskTransform::finish(Bytes& out) {
  out = std::exchange(index_, {});
  input_.release();
}

}  // namespace hone
