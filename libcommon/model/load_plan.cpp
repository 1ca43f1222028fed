#include "libcommon/model/load_plan.h"

#include <unordered_map>

#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"

namespace hone {
namespace {

class Planner {
 public:
  Planner(const CheckpointHeader& header, const ModelSpec& spec, const std::string& subject)
      : header_(header), spec_(spec), subject_(subject) {}

  LoadPlan plan() {
    plan_.steps.resize(header_.tensors.size());
    plan_.weights = stored_weights(header_, subject_);
    std::unordered_map<std::string, const TensorSpec*> specs;
    for (const TensorSpec& tensor : spec_.tensors) specs[tensor.name] = &tensor;
    for (const StoredWeight& weight : plan_.weights) {
      const auto found = specs.find(weight.name);
      plan_.specs.push_back(found == specs.end() ? nullptr : found->second);
      if (plan_.specs.back()) add(weight, *plan_.specs.back());
    }
    return std::move(plan_);
  }

 private:
  const TensorInfo& tensor(int64_t index) const {
    return header_.tensors[static_cast<size_t>(index)];
  }
  LoadStep& step(int64_t index) { return plan_.steps[static_cast<size_t>(index)]; }

  void add(const StoredWeight& weight, const TensorSpec& expected) {
    const RowMove move = row_move(weight, expected);
    if (expected.shape.size() == 1) return add_vector(weight, move);
    add_payload(weight, expected, move);
    if (weight.scale >= 0) {
      const bool per_row = weight.view.scale_rows == weight.view.rows;
      keep(weight.scale, per_row ? move : RowMove{}, weight.view.scale_rows);
    }
    if (weight.index >= 0) keep(weight.index, move, weight.view.rows);
    if (weight.zero_point >= 0) add_zeros(weight, move);
    if (weight.shape >= 0) {
      step(weight.shape).action = LoadAction::kCheckShape;
      step(weight.shape).expected_shape = {weight.view.rows, weight.view.columns};
    }
  }

  // BLOOM's fused rows become q | k | v, for every part that has rows.
  RowMove row_move(const StoredWeight& weight, const TensorSpec& expected) const {
    if (expected.layout != StoredLayout::kHeadQkv) return {};
    const int64_t rows = expected.bias ? expected.shape.front() : weight.view.rows;
    return {RowOrder::kHeadsToQkv, spec_.layers.front().attention.head_dim, rows};
  }

  void add_vector(const StoredWeight& weight, const RowMove& move) {
    const TensorInfo& vector = tensor(weight.payload);
    if (!is_float(vector.type) && !is_block(vector.type)) {
      throw Error(subject_ + ": tensor " + quote_name(vector.name) + " has type " +
                  std::string(name(vector.type)) + ", must be a float type");
    }
    LoadStep& vector_step = step(weight.payload);
    vector_step.action = LoadAction::kToF32;
    vector_step.move = move;
    vector_step.result_bytes = vector.elements() * static_cast<int64_t>(sizeof(float));
  }

  void add_payload(const StoredWeight& weight, const TensorSpec& expected, const RowMove& move) {
    const TensorInfo& payload = tensor(weight.payload);
    if (payload.type == DType::kF64 || payload.type == DType::kF8E5M2) {
      throw Error(subject_ + ": tensor " + quote_name(payload.name) + " has type " +
                  std::string(name(payload.type)) +
                  ", which is not implemented; convert it with hone-quantize --scheme f32");
    }
    const bool plain = weight.scale < 0 && weight.index < 0 && !is_block(payload.type);
    if (plain && expected.layout == StoredLayout::kInOut) {
      step(weight.payload).action = LoadAction::kTurn;
      step(weight.payload).result_bytes = payload.bytes();
      return;
    }
    keep(weight.payload, move, weight.view.rows);
  }

  void keep(int64_t index, const RowMove& move, int64_t rows) {
    LoadStep& kept = step(index);
    kept.action = move.order == RowOrder::kSame ? LoadAction::kKeep : LoadAction::kMoveRows;
    kept.move = move;
    kept.result_bytes = tensor(index).bytes();
    kept.row_bytes = rows == 0 ? 0 : kept.result_bytes / rows;
  }

  void add_zeros(const StoredWeight& weight, const RowMove& move) {
    const WeightView& view = weight.view;
    const int64_t groups = view.columns / view.group;
    if (view.packed_bits == 0) return keep(weight.zero_point, move, view.rows);
    LoadStep& zeros = step(weight.zero_point);
    zeros.action = LoadAction::kUnpackZeros;
    zeros.move = move;
    zeros.bits = view.packed_bits;
    zeros.groups = groups;
    zeros.move.rows = view.rows;
    zeros.result_bytes = view.rows * groups;
  }

  const CheckpointHeader& header_;
  const ModelSpec& spec_;
  std::string subject_;
  LoadPlan plan_;
};

}  // namespace

LoadPlan plan_load(const CheckpointHeader& header, const ModelSpec& spec,
                   const std::string& subject) {
  return Planner(header, spec, subject).plan();
}

}  // namespace hone
