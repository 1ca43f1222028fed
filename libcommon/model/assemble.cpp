#include "libcommon/model/assemble.h"

#include "kernels/check.h"
#include "libcommon/model/shard.h"

namespace hone {
namespace {

class Assembler {
 public:
  Assembler(LoadedModel& model, const LoadPlan& plan, std::span<const std::byte* const> data)
      : model_(model), plan_(plan), data_(data) {}

  void run() {
    model_.layers.resize(model_.spec.layers.size());
    for (size_t i = 0; i < plan_.weights.size(); ++i) {
      if (plan_.specs[i]) place(plan_.weights[i], *plan_.specs[i]);
    }
    if (model_.spec.tied) model_.head = model_.embedding;
  }

 private:
  const std::byte* data(int64_t index) const {
    return index < 0 ? nullptr : data_[static_cast<size_t>(index)];
  }

  WeightView view_of(const StoredWeight& weight, const TensorSpec& spec) const {
    WeightView view = weight.view;
    view.payload = data(weight.payload);
    view.scales = data(weight.scale);
    view.zeros = reinterpret_cast<const int8_t*>(data(weight.zero_point));
    view.index = data(weight.index);
    const auto action = plan_.steps[static_cast<size_t>(weight.payload)].action;
    if (action == LoadAction::kTurn) {
      view.rows = spec.shape.back();
      view.columns = spec.shape.front();
    }
    view.row_stride = payload_row_bytes(view);
    return view;
  }

  void place(const StoredWeight& weight, const TensorSpec& spec) {
    if (spec.shape.size() == 1) return place_vector(spec, vector_of(weight));
    const WeightView view = view_of(weight, spec);
    model_.parameters += view.rows * view.columns;
    if (spec.role == Role::kQkv) return place_fused(spec, view);
    *matrix_slot(spec) = view;
  }

  const float* vector_of(const StoredWeight& weight) const {
    return reinterpret_cast<const float*>(data(weight.payload));
  }

  void place_fused(const TensorSpec& spec, const WeightView& view) {
    const AttentionSpec& attention = attention_of(spec);
    const int64_t q = attention.heads * attention.head_dim;
    const int64_t kv = attention.kv_heads * attention.head_dim;
    LayerWeights& layer = layer_of(spec);
    layer.q = rows_of(view, {0, q});
    layer.k = rows_of(view, {q, kv});
    layer.v = rows_of(view, {q + kv, kv});
  }

  WeightView* matrix_slot(const TensorSpec& spec) {
    switch (spec.role) {
      case Role::kEmbedding:
        return &model_.embedding;
      case Role::kPositionEmbedding:
        return &model_.position_embedding;
      case Role::kHead:
        return &model_.head;
      case Role::kQ:
        return &layer_of(spec).q;
      case Role::kK:
        return &layer_of(spec).k;
      case Role::kV:
        return &layer_of(spec).v;
      case Role::kAttentionOutput:
        return &layer_of(spec).output;
      case Role::kGate:
        return &layer_of(spec).gate;
      case Role::kUp:
        return &layer_of(spec).up;
      case Role::kDown:
        return &layer_of(spec).down;
      default:
        CHECK(false);
    }
    return nullptr;
  }

  void place_vector(const TensorSpec& spec, const float* values) {
    model_.parameters += spec.shape.front();
    if (spec.role == Role::kQkv) {
      const AttentionSpec& attention = attention_of(spec);
      const int64_t q = attention.heads * attention.head_dim;
      LayerWeights& layer = layer_of(spec);
      layer.q_bias = values;
      layer.k_bias = values + q;
      layer.v_bias = values + q + attention.kv_heads * attention.head_dim;
      return;
    }
    *vector_slot(spec) = values;
  }

  const float** vector_slot(const TensorSpec& spec) {
    const bool bias = spec.bias;
    if (spec.layer < 0) {
      switch (spec.role) {
        case Role::kEmbeddingNorm:
          return bias ? &model_.embedding_norm_bias : &model_.embedding_norm;
        case Role::kFinalNorm:
          return bias ? &model_.final_norm_bias : &model_.final_norm;
        default:
          CHECK(false);
      }
    }
    LayerWeights& layer = layer_of(spec);
    switch (spec.role) {
      case Role::kAttentionNorm:
        return bias ? &layer.attention_norm_bias : &layer.attention_norm;
      case Role::kFfnNorm:
        return bias ? &layer.ffn_norm_bias : &layer.ffn_norm;
      case Role::kQNorm:
        return &layer.q_norm;
      case Role::kKNorm:
        return &layer.k_norm;
      case Role::kQ:
        return &layer.q_bias;
      case Role::kK:
        return &layer.k_bias;
      case Role::kV:
        return &layer.v_bias;
      case Role::kAttentionOutput:
        return &layer.output_bias;
      case Role::kGate:
        return &layer.gate_bias;
      case Role::kUp:
        return &layer.up_bias;
      case Role::kDown:
        return &layer.down_bias;
      default:
        CHECK(false);
    }
    return nullptr;
  }

  LayerWeights& layer_of(const TensorSpec& spec) {
    return model_.layers[static_cast<size_t>(spec.layer)];
  }
  const AttentionSpec& attention_of(const TensorSpec& spec) const {
    return model_.spec.layers[static_cast<size_t>(spec.layer)].attention;
  }

  LoadedModel& model_;
  const LoadPlan& plan_;
  std::span<const std::byte* const> data_;
};

}  // namespace

void assemble(LoadedModel& model, const LoadPlan& plan, std::span<const std::byte* const> data) {
  Assembler(model, plan, data).run();
}

}  // namespace hone
