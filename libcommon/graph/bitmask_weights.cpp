#include "libcommon/graph/bitmask_weights.h"

#include <cstring>
#include <map>
#include <memory>

#include "kernels/codec/codec.h"
#include "kernels/parallel.h"

namespace hone {
namespace {

constexpr int64_t kSampleRows = 16;
constexpr double kSampleError = 0.1;  // what a sample's share may lie below the whole's
constexpr int64_t kGrainBytes = int64_t{1} << 18;

double zeros_of(int64_t nonzeros, int64_t elements) {
  return 1 - static_cast<double>(nonzeros) / static_cast<double>(elements);
}

double sampled_zeros(const WeightView& dense) {
  const int64_t rows = std::min(kSampleRows, dense.rows);
  int64_t nonzeros = 0;
  for (int64_t i = 0; i < rows; ++i) nonzeros += count_nonzeros(dense, i * dense.rows / rows);
  return zeros_of(nonzeros, rows * dense.columns);
}

class Packer {
 public:
  Packer(Backend& backend, ThreadPool& pool, const WeightView& dense)
      : backend_(backend),
        pool_(pool),
        dense_(dense),
        grain_(std::max<int64_t>(1, kGrainBytes / payload_row_bytes(dense))) {}

  // Counts what each row keeps; returns the share of zeros.
  double count() {
    matrix_.row_offsets.assign(static_cast<size_t>(dense_.rows + 1), 0);
    int64_t* const counts = matrix_.row_offsets.data() + 1;
    pool_.parallel_for(dense_.rows, grain_, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) counts[r] = count_nonzeros(dense_, r);
    });
    for (int64_t r = 1; r < dense_.rows; ++r) counts[r] += counts[r - 1];
    return zeros_of(matrix_.row_offsets.back(), dense_.rows * dense_.columns);
  }

  // The matrix; `view` becomes its view.
  BitmaskMatrix pack(WeightView& view) {
    const int64_t stride = mask_row_bytes(dense_.columns);
    const int64_t bytes = element_bytes(dense_, matrix_.row_offsets.back());
    matrix_.payload = Buffer(backend_, bytes);
    matrix_.mask = Buffer(backend_, dense_.rows * stride);
    pool_.parallel_for(dense_.rows, grain_,
                       [&](int64_t begin, int64_t end) { pack_rows(begin, end, stride); });
    view.payload = matrix_.payload.as<std::byte>();
    view.row_stride = 0;
    view.mask = matrix_.mask.as<std::byte>();
    view.row_offsets = matrix_.row_offsets.data();
    matrix_.bytes = bytes + dense_.rows * stride +
                    static_cast<int64_t>(matrix_.row_offsets.size() * sizeof(int64_t));
    return std::move(matrix_);
  }

 private:
  void pack_rows(int64_t begin, int64_t end, int64_t stride) {
    const int64_t row_bytes = payload_row_bytes(dense_);
    std::vector<std::byte> row(static_cast<size_t>(row_bytes));
    for (int64_t r = begin; r < end; ++r) {
      const int64_t kept =
          compress_bitmask(dense_, r, row.data(), matrix_.mask.as<std::byte>() + r * stride);
      const int64_t at = matrix_.row_offsets[static_cast<size_t>(r)];
      std::memcpy(matrix_.payload.as<std::byte>() + element_bytes(dense_, at), row.data(),
                  static_cast<size_t>(element_bytes(dense_, kept)));
    }
  }

  Backend& backend_;
  ThreadPool& pool_;
  const WeightView& dense_;
  int64_t grain_;
  BitmaskMatrix matrix_;
};

bool is_product(const Node& node) { return node.op != OpKind::kEmbed; }

}  // namespace

std::vector<BitmaskMatrix> pack_bitmasks(Backend& backend, const Graph& graph, int threads,
                                         WeightTable& table) {
  std::vector<BitmaskMatrix> packed;
  std::map<const std::byte*, WeightView> views;  // by what was packed: a tied matrix once
  std::unique_ptr<ThreadPool> pool;
  for (const Node& node : graph.nodes) {
    if (!is_product(node)) continue;
    for (const WeightKey& key : matrices_of(node)) {
      WeightView& view = table.matrices.at(key);
      const auto known = views.find(view.payload);
      if (known != views.end()) {
        view = known->second;
        continue;
      }
      const WeightView dense = view;
      const double least = backend.least_zeros(dense);
      if (least > 1 || sampled_zeros(dense) < least - kSampleError) continue;
      if (!pool) pool = std::make_unique<ThreadPool>(threads > 0 ? threads : default_threads());
      Packer packer(backend, *pool, dense);
      if (packer.count() < least) continue;
      packed.push_back(packer.pack(view));
      views[dense.payload] = view;
    }
  }
  return packed;
}

}  // namespace hone
