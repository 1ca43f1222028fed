#include "libcommon/model/shard.h"

#include <cstring>
#include <numeric>

#include "kernels/check.h"
#include "libcommon/base/error.h"

namespace hone {
namespace {

// Activations that are rounded to int8 share a scale in runs of at most so many columns
// (input_run()): cut between runs, products round the same numbers in the same way.
constexpr int64_t kLongestRun = 128;

// Columns that share a scale; 0: all.
bool has_groups(const WeightView& view) { return view.group > 0 && view.group < view.columns; }

// Elements between which a row of the payload falls on whole bytes.
int64_t payload_unit(const WeightView& view) {
  constexpr int64_t kWordBits = 32;
  if (view.packed_bits > 0) return kWordBits / std::gcd(kWordBits, view.packed_bits);
  return info(view.type).block_elements;
}

int64_t payload_bytes(const WeightView& view, int64_t elements) {
  return view.packed_bits > 0 ? elements * view.packed_bits / 8 : row_bytes(view.type, elements);
}

struct SideArray {
  const std::byte* data;
  int64_t rows;
  int64_t row_bytes;
};

// The bytes [begin, begin + count) of each row, packed.
const std::byte* cut_rows(const SideArray& from, int64_t begin, int64_t count, SideArrays& kept) {
  if (from.data == nullptr) return nullptr;
  kept.push_back(std::make_unique<std::byte[]>(static_cast<size_t>(from.rows * count)));
  std::byte* const to = kept.back().get();
  for (int64_t row = 0; row < from.rows; ++row) {
    std::memcpy(to + row * count, from.data + row * from.row_bytes + begin,
                static_cast<size_t>(count));
  }
  return to;
}

class ModelPart : public LoadedModel {
 public:
  explicit ModelPart(std::shared_ptr<const LoadedModel> model)
      : LoadedModel(*model), whole(std::move(model)) {}
  std::shared_ptr<const LoadedModel> whole;
  SideArrays side_arrays;
};

class Sharder {
 public:
  Sharder(ModelPart& part, const Shard& shard) : part_(part), shard_(shard) {}

  void run() {
    part_.spec.shard = shard_;
    for (size_t i = 0; i < part_.layers.size(); ++i) {
      cut_attention(part_.layers[i], part_.spec.layers[i].attention);
      cut_ffn(part_.layers[i], part_.spec.layers[i].ffn);
    }
    part_.head = rows_of(part_.head, part_of(part_.spec.vocab, 1, shard_));
  }

 private:
  [[noreturn]] void refuse(const std::string& fact) const {
    throw usage_error(part_.subject + ": " + fact + "; " + std::to_string(shard_.count) +
                      " ranks cannot share them");
  }

  // Key-value heads: a part each, or, where there are fewer than ranks, one each, several ranks the
  // same.
  Range kv_heads(const AttentionSpec& whole) const {
    if (whole.kv_heads % shard_.count == 0) return part_of(whole.kv_heads, 1, shard_);
    if (shard_.count % whole.kv_heads == 0) {
      return {shard_.rank / (shard_.count / whole.kv_heads), 1};
    }
    refuse(std::to_string(whole.kv_heads) + " key-value heads");
  }

  void cut_attention(LayerWeights& w, AttentionSpec& attention) {
    if (attention.heads % shard_.count != 0) refuse(std::to_string(attention.heads) + " heads");
    const auto of_heads = [&](const Range& heads) -> Range {
      return {heads.begin * attention.head_dim, heads.count * attention.head_dim};
    };
    const Range q = of_heads(part_of(attention.heads, 1, shard_));
    const Range kv_part = kv_heads(attention);
    const Range kv = of_heads(kv_part);
    if (q.count % column_unit(w.output) != 0) {
      refuse("attention outputs stored in units of " + std::to_string(column_unit(w.output)) +
             " columns, and " + std::to_string(q.count) + " columns for each rank");
    }
    w.q = rows_of(w.q, q);
    w.k = rows_of(w.k, kv);
    w.v = rows_of(w.v, kv);
    w.output = columns_of(w.output, q, part_.side_arrays);
    if (w.q_bias) w.q_bias += q.begin;
    if (w.k_bias) w.k_bias += kv.begin;
    if (w.v_bias) w.v_bias += kv.begin;
    attention.heads /= shard_.count;
    attention.kv_heads = kv_part.count;
  }

  // The unit in which the layer's width is handed out: runs of rounded activations where there are
  // enough of them for all ranks.
  int64_t ffn_unit(const WeightView& down) const {
    const int64_t unit = column_unit(down);
    const int64_t runs = std::lcm(unit, kLongestRun);
    return down.columns / runs >= shard_.count ? runs : unit;
  }

  void cut_ffn(LayerWeights& w, FfnSpec& ffn) {
    const int64_t unit = ffn_unit(w.down);
    const Range columns = part_of(ffn.dim, unit, shard_);
    if (ffn.dim / unit < shard_.count) {
      refuse("ffn.down has " + std::to_string(ffn.dim) + " columns stored in units of " +
             std::to_string(unit));
    }
    if (ffn.gated) w.gate = rows_of(w.gate, columns);
    w.up = rows_of(w.up, columns);
    w.down = columns_of(w.down, columns, part_.side_arrays);
    if (w.gate_bias) w.gate_bias += columns.begin;
    if (w.up_bias) w.up_bias += columns.begin;
    ffn.dim = columns.count;
  }

  ModelPart& part_;
  Shard shard_;
};

}  // namespace

WeightView rows_of(WeightView view, const Range& rows) {
  view.payload += rows.begin * view.row_stride;
  const int64_t groups = view.group == 0 ? 0 : view.columns / view.group;
  if (view.scales && view.scale_rows == view.rows) {
    view.scales += rows.begin * row_bytes(view.scale_type, groups);
    view.scale_rows = rows.count;
  }
  if (view.zeros) view.zeros += rows.begin * groups;
  if (view.index) view.index += rows.begin * (view.columns / 8);
  view.rows = rows.count;
  return view;
}

int64_t column_unit(const WeightView& view) {
  const int64_t dense = view.index ? 2 : 1;  // columns for each stored element
  int64_t unit = payload_unit(view) * dense;
  if (view.index) unit = std::lcm(unit, int64_t{8});
  return has_groups(view) ? std::lcm(unit, view.group) : unit;
}

WeightView columns_of(const WeightView& view, const Range& columns, SideArrays& kept) {
  const int64_t unit = column_unit(view);
  CHECK(columns.begin % unit == 0 &&
        (columns.count % unit == 0 || columns.begin + columns.count == view.columns));
  WeightView part = view;
  const int64_t stored = view.index ? columns.begin / 2 : columns.begin;
  part.payload += payload_bytes(view, stored);
  part.columns = columns.count;
  part.index = cut_rows({view.index, view.rows, view.columns / 8}, columns.begin / 8,
                        columns.count / 8, kept);
  if (!has_groups(view)) {
    if (view.group > 0) part.group = columns.count;
    return part;
  }
  const int64_t groups = view.columns / view.group;
  const Range own = {columns.begin / view.group, columns.count / view.group};
  const int64_t scale = row_bytes(view.scale_type, 1);
  part.scales = cut_rows({view.scales, view.scale_rows, groups * scale}, own.begin * scale,
                         own.count * scale, kept);
  const auto* const zeros = reinterpret_cast<const std::byte*>(view.zeros);
  part.zeros = reinterpret_cast<const int8_t*>(
      cut_rows({zeros, view.rows, groups}, own.begin, own.count, kept));
  return part;
}

std::shared_ptr<const LoadedModel> shard_model(std::shared_ptr<const LoadedModel> whole,
                                               const Shard& shard) {
  if (shard.whole()) return whole;
  auto part = std::make_shared<ModelPart>(std::move(whole));
  Sharder(*part, shard).run();
  return part;
}

}  // namespace hone
