// The model's tensors by what they are for: how nodes, which name weights by WeightKey, find them.
#pragma once

#include <map>
#include <span>
#include <string>

#include "libcommon/graph/graph.h"
#include "libcommon/model/weights.h"

namespace hone {

struct WeightTable {
  std::map<WeightKey, WeightView> matrices;   // [out, in]
  std::map<WeightKey, const float*> vectors;  // norms and biases; null where only headers are known

  // The matrix of a key; CHECK that it is there.
  const WeightView& matrix(const WeightKey& key) const;
  const float* vector(const WeightKey& key) const;
};

// Of a model in memory; the pointers live as long as the model.
WeightTable weight_table(const LoadedModel& model);

// Of a header alone: shapes and storage types, all pointers null. Enough for fusing and costs.
WeightTable weight_table(const ModelSpec& spec, std::span<const StoredWeight> stored);

// Those of them that the graph names.
WeightTable weights_of(const Graph& graph, const WeightTable& table);

// Throws Error(SUBJECT: ...) unless every weight that the graph names is in the table with the
// shape that its node needs.
void check_weights(const Graph& graph, const WeightTable& table, const std::string& subject);

// "BF16", "int4 group 128 W8A8", "Q4_K 2:4": how a matrix is stored, for people.
std::string storage_text(const WeightView& weight);

// True where one kernel can run over both at once: the same type, packing, groups, zeros, sparsity
// and rounding of the input.
bool same_storage(const WeightView& a, const WeightView& b);

}  // namespace hone
