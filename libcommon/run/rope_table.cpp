#include "libcommon/run/rope_table.h"

namespace hone {

RopeTable::RopeTable(Backend& backend, const ModelSpec& spec)
    : backend_(backend),
      spec_(spec),
      dynamic_(spec.positions == PositionKind::kRope &&
               spec.rope.scaling == RopeScaling::kDynamic) {
  if (spec.positions == PositionKind::kRope) base_ = placed(spec.context);
}

Buffer RopeTable::placed(int64_t length) const {
  const std::vector<double> values = rope_frequencies(spec_.rope, length, spec_.context);
  const size_t bytes = values.size() * sizeof(double);
  Buffer buffer(backend_, static_cast<int64_t>(bytes));
  backend_.copy_in(buffer.as<void>(), values.data(), bytes);
  return buffer;
}

const double* RopeTable::frequencies(int64_t length) {
  if (!dynamic_ || length <= spec_.context) return base_.as<double>();
  for (const auto& [known, values] : stretched_) {
    if (known == length) return values.as<double>();
  }
  stretched_.emplace_back(length, placed(length));
  return stretched_.back().second.as<double>();
}

std::span<const RopeRun> RopeTable::runs(std::span<const int64_t> lengths) {
  runs_.clear();
  stretched_.clear();
  for (size_t i = 0; i < lengths.size(); ++i) {
    const double* inv_freq = frequencies(lengths[i]);
    if (runs_.empty() || runs_.back().inv_freq != inv_freq) {
      runs_.push_back({.begin = static_cast<int64_t>(i), .count = 0, .inv_freq = inv_freq});
    }
    ++runs_.back().count;
  }
  return runs_;
}

}  // namespace hone
