#include "libcommon/graph/weight_table.h"

#include "kernels/check.h"
#include "libcommon/base/error.h"

namespace hone {
namespace {

void add_layer(WeightTable& table, const LayerWeights& w, int64_t layer) {
  const struct {
    Role role;
    const WeightView& view;
  } matrices[] = {
      {Role::kQ, w.q},       {Role::kK, w.k},
      {Role::kV, w.v},       {Role::kAttentionOutput, w.output},
      {Role::kGate, w.gate}, {Role::kUp, w.up},
      {Role::kDown, w.down},
  };
  const struct {
    Role role;
    bool bias;
    const float* data;
  } vectors[] = {
      {Role::kAttentionNorm, false, w.attention_norm},
      {Role::kAttentionNorm, true, w.attention_norm_bias},
      {Role::kQ, true, w.q_bias},
      {Role::kK, true, w.k_bias},
      {Role::kV, true, w.v_bias},
      {Role::kAttentionOutput, true, w.output_bias},
      {Role::kQNorm, false, w.q_norm},
      {Role::kKNorm, false, w.k_norm},
      {Role::kFfnNorm, false, w.ffn_norm},
      {Role::kFfnNorm, true, w.ffn_norm_bias},
      {Role::kGate, true, w.gate_bias},
      {Role::kUp, true, w.up_bias},
      {Role::kDown, true, w.down_bias},
  };
  for (const auto& m : matrices) {
    if (m.view.rows > 0) table.matrices[{m.role, false, layer}] = m.view;
  }
  for (const auto& v : vectors) {
    if (v.data) table.vectors[{v.role, v.bias, layer}] = v.data;
  }
}

// The part of a joint q, k, v matrix from row `first` on; without pointers, as all header views.
WeightView row_range(WeightView view, int64_t rows) {
  view.rows = rows;
  if (view.scale_rows > 1) view.scale_rows = rows;
  return view;
}

void add_qkv(WeightTable& table, const TensorSpec& tensor, const WeightView& view,
             const AttentionSpec& attention) {
  const struct {
    Role role;
    int64_t rows;
  } parts[] = {{Role::kQ, attention.heads * attention.head_dim},
               {Role::kK, attention.kv_heads * attention.head_dim},
               {Role::kV, attention.kv_heads * attention.head_dim}};
  for (const auto& part : parts) {
    const WeightKey key = {part.role, tensor.bias, tensor.layer};
    if (tensor.bias) {
      table.vectors[key] = nullptr;
    } else {
      table.matrices[key] = row_range(view, part.rows);
    }
  }
}

// Stands for a side array of which only the header is known: present, never read.
constexpr std::byte kPresent{};
constexpr int8_t kPresentZeros{};

// The view of a header as the loader will make it, with its side arrays marked as present. A plain
// Conv1D matrix lies [in, out] in the file and is turned when it is loaded.
WeightView loaded_view(const TensorSpec& tensor, const StoredWeight& stored) {
  WeightView view = stored.view;
  if (stored.scale >= 0) view.scales = &kPresent;
  if (stored.zero_point >= 0) view.zeros = &kPresentZeros;
  if (stored.index >= 0) view.index = &kPresent;
  const bool plain = !view.scales && !view.index && view.packed_bits == 0 && !is_block(view.type);
  if (tensor.layout == StoredLayout::kInOut && plain) std::swap(view.rows, view.columns);
  return view;
}

bool is_matrix(const TensorSpec& tensor) { return !tensor.bias && tensor.shape.size() == 2; }

}  // namespace

const WeightView& WeightTable::matrix(const WeightKey& key) const {
  const auto found = matrices.find(key);
  CHECK(found != matrices.end());
  return found->second;
}

const float* WeightTable::vector(const WeightKey& key) const {
  const auto found = vectors.find(key);
  CHECK(found != vectors.end());
  return found->second;
}

WeightTable weight_table(const LoadedModel& model) {
  WeightTable table;
  table.matrices[{Role::kEmbedding}] = model.embedding;
  table.matrices[{Role::kHead}] = model.head;
  if (model.position_embedding.rows > 0) {
    table.matrices[{Role::kPositionEmbedding}] = model.position_embedding;
  }
  const struct {
    WeightKey key;
    const float* data;
  } vectors[] = {
      {{Role::kEmbeddingNorm}, model.embedding_norm},
      {{Role::kEmbeddingNorm, true}, model.embedding_norm_bias},
      {{Role::kFinalNorm}, model.final_norm},
      {{Role::kFinalNorm, true}, model.final_norm_bias},
  };
  for (const auto& v : vectors) {
    if (v.data) table.vectors[v.key] = v.data;
  }
  for (size_t i = 0; i < model.layers.size(); ++i) {
    add_layer(table, model.layers[i], static_cast<int64_t>(i));
  }
  return table;
}

WeightTable weight_table(const ModelSpec& spec, std::span<const StoredWeight> stored) {
  std::map<std::string, const StoredWeight*> by_name;
  for (const StoredWeight& weight : stored) by_name[weight.name] = &weight;
  WeightTable table;
  for (const TensorSpec& tensor : spec.tensors) {
    const auto found = by_name.find(tensor.name);
    if (found == by_name.end()) continue;  // tied, or optional
    const WeightView view = loaded_view(tensor, *found->second);
    const WeightKey key = {tensor.role, tensor.bias, tensor.layer};
    if (tensor.role == Role::kQkv) {
      add_qkv(table, tensor, view, spec.layers[static_cast<size_t>(tensor.layer)].attention);
    } else if (is_matrix(tensor)) {
      table.matrices[key] = view;
    } else {
      table.vectors[key] = nullptr;
    }
  }
  table.matrices.try_emplace({Role::kHead}, table.matrices[{Role::kEmbedding}]);
  return table;
}

WeightTable weights_of(const Graph& graph, const WeightTable& table) {
  WeightTable named;
  for (const Node& node : graph.nodes) {
    for (const WeightKey& key : node.weights) {
      if (is_vector(key)) {
        named.vectors[key] = table.vector(key);
      } else {
        named.matrices[key] = table.matrix(key);
      }
    }
  }
  return named;
}

void check_weights(const Graph& graph, const WeightTable& table, const std::string& subject) {
  const auto columns = [&](int id) { return graph.values[static_cast<size_t>(id)].columns; };
  for (const Node& node : graph.nodes) {
    size_t matrix = 0;
    for (const WeightKey& key : node.weights) {
      const bool vector = is_vector(key);
      const auto found = table.matrices.find(key);
      if (vector ? !table.vectors.contains(key) : found == table.matrices.end()) {
        throw Error(subject + ": " + node.name + " has no " + (key.bias ? "bias" : "weight"));
      }
      if (vector) continue;
      const size_t output = node.op == OpKind::kQkvMatmul ? matrix++ : 0;
      const int64_t in = node.inputs.empty() ? columns(node.outputs[0]) : columns(node.inputs[0]);
      const bool fits =
          node.op == OpKind::kEmbed
              ? found->second.columns == in
              : found->second.rows == columns(node.outputs[output]) && found->second.columns == in;
      if (fits) continue;
      throw Error(subject + ": " + node.name + " is [" + std::to_string(found->second.rows) + ", " +
                  std::to_string(found->second.columns) + "], needs " +
                  std::to_string(columns(node.outputs[output])) + " x " + std::to_string(in));
    }
  }
}

std::string storage_text(const WeightView& w) {
  std::string text =
      w.packed_bits > 0 ? "int" + std::to_string(w.packed_bits) : std::string(name(w.type));
  if (w.group > 0 && w.group < w.columns) text += " group " + std::to_string(w.group);
  if (w.zeros) text += " asymmetric";
  if (w.index) text += " 2:4";
  if (w.mask) text += " bitmask";
  if (w.quantize_input) text += " W8A8";
  return text;
}

bool same_storage(const WeightView& a, const WeightView& b) {
  return a.type == b.type && a.packed_bits == b.packed_bits && a.scale_type == b.scale_type &&
         a.group == b.group && (a.scale_rows == 1) == (b.scale_rows == 1) &&
         (a.scales == nullptr) == (b.scales == nullptr) &&
         (a.zeros == nullptr) == (b.zeros == nullptr) &&
         (a.index == nullptr) == (b.index == nullptr) &&
         (a.mask == nullptr) == (b.mask == nullptr) && a.quantize_input == b.quantize_input;
}

}  // namespace hone
