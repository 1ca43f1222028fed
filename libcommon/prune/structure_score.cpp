// The choice of structure.h's units: one pass over the weights, sums per unit, the best stay.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "kernels/check.h"
#include "libcommon/compress/finite.h"
#include "libcommon/compress/pipeline.h"
#include "libcommon/prune/structure.h"

namespace hone {
namespace {

constexpr int64_t kRangeRows = 64;

// Sums of scores (or of their squares) over the rows and over the columns of a stored tensor.
struct AxisSums {
  std::vector<double> rows;
  std::vector<double> columns;
  double total() const { return std::accumulate(rows.begin(), rows.end(), 0.0); }
};

class Summer {
 public:
  Summer(CheckpointReader& reader, const StructureRequest& request, ThreadPool& pool)
      : reader_(reader), request_(request), pool_(pool) {}

  AxisSums sums(int64_t tensor) {
    const TensorInfo& info = reader_.header().tensors[static_cast<size_t>(tensor)];
    AxisSums sums;
    sums.rows.resize(static_cast<size_t>(info.rows()));
    sums.columns.resize(static_cast<size_t>(info.columns()));
    scan_tensor(reader_, tensor, 1, [&](const Chunk& chunk) { add_chunk(info, chunk, sums); });
    return sums;
  }

 private:
  // Ranges of a fixed size, added up in order: the same sums for any number of threads.
  void add_chunk(const TensorInfo& info, const Chunk& chunk, AxisSums& sums) {
    MatrixInput input = MatrixInput::plain(info, false);
    input.load(chunk, pool_);
    const int64_t columns = info.columns();
    const int64_t ranges = (chunk.count + kRangeRows - 1) / kRangeRows;
    std::vector<std::vector<double>> parts(static_cast<size_t>(ranges));
    pool_.parallel_for(chunk.count, kRangeRows, [&](int64_t begin, int64_t end) {
      std::vector<double>& part = parts[static_cast<size_t>(begin / kRangeRows)];
      part.assign(static_cast<size_t>(columns), 0.0);
      std::vector<float> values(static_cast<size_t>(columns));
      std::vector<float> scores(static_cast<size_t>(columns));
      for (int64_t r = chunk.first + begin; r < chunk.first + end; ++r) {
        input.row(r, values.data());
        check_finite(reader_.subject(), info.name, r, values);
        request_.score->score(values.data(), columns, scores.data());
        sums.rows[static_cast<size_t>(r)] = add_row(scores, part);
      }
    });
    for (const auto& part : parts) {
      for (size_t c = 0; c < part.size(); ++c) sums.columns[c] += part[c];
    }
  }

  double add_row(const std::vector<float>& scores, std::vector<double>& columns) const {
    double sum = 0;
    for (size_t c = 0; c < scores.size(); ++c) {
      const double s = scores[c];
      const double weight = request_.l1 ? s : s * s;
      sum += weight;
      columns[c] += weight;
    }
    return sum;
  }

  CheckpointReader& reader_;
  const StructureRequest& request_;
  ThreadPool& pool_;
};

// The `keep` units of the highest score, ascending; of equals the first.
std::vector<int64_t> best_units(const std::vector<double>& scores, int64_t keep) {
  std::vector<int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
  });
  order.resize(static_cast<size_t>(keep));
  std::sort(order.begin(), order.end());
  return order;
}

class StructureChooser {
 public:
  StructureChooser(CheckpointReader& reader, const ModelSpec& spec, const StructureRequest& request,
                   ThreadPool& pool)
      : reader_(reader), spec_(spec), request_(request), summer_(reader, request, pool) {}

  Structure choose() {
    scores_.resize(spec_.layers.size());
    for (auto& layer : scores_) layer.assign(units_per_layer(), 0.0);
    for (size_t i = 0; i < reader_.header().tensors.size(); ++i) {
      const TensorInfo& info = reader_.header().tensors[i];
      const TensorSpec* tensor = spec_.find(info.name);
      if (tensor != nullptr && !tensor->bias && tensor->linear && tensor->layer >= 0) {
        add_tensor(static_cast<int64_t>(i), info, *tensor);
      }
    }
    return pick();
  }

 private:
  size_t units_per_layer() const {
    return request_.kind == StructureKind::kLayers
               ? 1
               : static_cast<size_t>(units_before(spec_, request_.kind));
  }

  void add_tensor(int64_t index, const TensorInfo& info, const TensorSpec& tensor) {
    const bool out_in = is_block(info.type) || tensor.layout != StoredLayout::kInOut;
    std::vector<double>& scores = scores_[static_cast<size_t>(tensor.layer)];
    if (request_.kind == StructureKind::kLayers) {
      scores[0] += summer_.sums(index).total();
      return;
    }
    // Every unit's elements on this tensor, found by asking what would stay if only it stayed.
    Structure probe;
    (request_.kind == StructureKind::kHeads ? probe.heads : probe.ffn)[tensor.layer] = {0};
    const Selected one = select_units(spec_, tensor, probe, out_in);
    const bool touched = !one.keep_rows.empty() || !one.keep_columns.empty();
    const bool rows_only = request_.kind == StructureKind::kRows;
    if (rows_only && (!touched || tensor.role == Role::kDown)) {
      zero_outputs(index, tensor, out_in);
      return;
    }
    if (!touched) return;
    const AxisSums sums = summer_.sums(index);
    const bool by_row = !one.keep_rows.empty();
    const std::vector<double>& axis = by_row ? sums.rows : sums.columns;
    const size_t size = (by_row ? one.keep_rows : one.keep_columns).size();
    for (size_t i = 0; i < axis.size(); ++i) scores[i / size] += axis[i];
  }

  void zero_outputs(int64_t index, const TensorSpec& tensor, bool out_in) {
    const AxisSums sums = summer_.sums(index);
    const std::vector<double>& outputs = out_in ? sums.rows : sums.columns;
    const auto total = static_cast<int64_t>(outputs.size());
    const auto gone =
        static_cast<int64_t>(std::llround(static_cast<double>(total) * request_.sparsity));
    const std::vector<int64_t> kept = best_units(outputs, total - gone);
    const std::set<int64_t> stays(kept.begin(), kept.end());
    std::vector<int64_t>& zeroed = structure_.zeroed_outputs[tensor.name];
    for (int64_t i = 0; i < total; ++i) {
      if (stays.count(i) == 0) zeroed.push_back(i);
    }
  }

  Structure pick() {
    const int64_t keep = units_after(spec_, request_);
    if (request_.kind == StructureKind::kLayers) {
      std::vector<double> layers;
      for (const auto& layer : scores_) layers.push_back(layer[0]);
      structure_.layers = best_units(layers, keep);
      return structure_;
    }
    for (size_t layer = 0; layer < scores_.size(); ++layer) {
      structure_.layers.push_back(static_cast<int64_t>(layer));
      auto& kept = request_.kind == StructureKind::kHeads ? structure_.heads : structure_.ffn;
      kept[static_cast<int64_t>(layer)] = best_units(scores_[layer], keep);
    }
    return structure_;
  }

  CheckpointReader& reader_;
  const ModelSpec& spec_;
  const StructureRequest& request_;
  Summer summer_;
  std::vector<std::vector<double>> scores_;  // [layer][unit]
  Structure structure_;
};

}  // namespace

Structure choose_structure(CheckpointReader& reader, const ModelSpec& spec,
                           const StructureRequest& request, ThreadPool& pool) {
  CHECK(reader.random_access());
  return StructureChooser(reader, spec, request, pool).choose();
}

}  // namespace hone
