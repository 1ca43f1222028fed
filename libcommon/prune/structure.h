// Structured pruning: which neurons, heads or layers a model keeps, what that means for each
// tensor, and the config.json of the smaller model. The result is an ordinary model: every layer
// keeps as many units as the others (which ones is its own affair), so that one number in
// config.json describes them. Ma, Fang, Wang, "LLM-Pruner", NeurIPS 2023, calls such coupled rows
// and columns a dependency group.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "libcommon/compress/transform.h"
#include "libcommon/model/spec.h"
#include "libcommon/prune/score.h"
#include "libcommon/prune/select_transform.h"

namespace hone {

enum class StructureKind : uint8_t {
  kRows,    // FFN neurons by their own rows, taken out; rows of other matrices set to zero
  kHeads,   // whole groups: a key-value head with the query heads that share it
  kFfn,     // FFN neurons: rows of gate and up, column of down
  kLayers,  // whole blocks
};

struct StructureRequest {
  StructureKind kind = StructureKind::kFfn;
  double sparsity = 0;   // share of units that go
  int64_t round_to = 0;  // FFN width is a multiple of this; 0: 32 where there are at least 64
  bool l1 = false;       // units are ranked by the sum of scores, else of their squares
  const ScoreMethod* score = nullptr;
};

// Units that stay, ascending; what is not listed is whole.
struct Structure {
  std::vector<int64_t> layers;                                 // all that stay
  std::map<int64_t, std::vector<int64_t>> ffn;                 // layer -> neurons
  std::map<int64_t, std::vector<int64_t>> heads;               // layer -> key-value heads
  std::map<std::string, std::vector<int64_t>> zeroed_outputs;  // tensor -> outputs set to zero
};

// Error(kUsage) where the architecture's config.json could not describe the result.
void check_structure(const ModelSpec& spec, const StructureRequest& request,
                     const std::string& subject);

// Units that will stay: neurons, key-value heads or layers; for messages and --dry-run.
int64_t units_before(const ModelSpec& spec, StructureKind kind);
int64_t units_after(const ModelSpec& spec, const StructureRequest& request);

// Reads all weights that the decision needs (reader must offer random access).
Structure choose_structure(CheckpointReader& reader, const ModelSpec& spec,
                           const StructureRequest& request, ThreadPool& pool);
// The same sizes without looking at a weight: the first units stay. For --dry-run.
Structure guess_structure(const ModelSpec& spec, const StructureRequest& request);

// What a structure means for one tensor, whose rows and columns are as stored.
Selected select_units(const ModelSpec& spec, const TensorSpec& tensor, const Structure& structure,
                      bool out_in);

// -1 where the name has no layer; "model.layers.7.mlp..." -> 7.
int64_t layer_of(const std::string& name);
std::string with_layer(const std::string& name, int64_t layer);

// config.json of the smaller model.
Json structured_config(const Json& config, const ModelSpec& spec, const Structure& structure);

}  // namespace hone
