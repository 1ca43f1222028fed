// hone-prune's options as they are typed, and as what they ask for.
#pragma once

#include <string>
#include <vector>

#include "libcommon/prune/mask.h"
#include "libcommon/prune/structure.h"

namespace hone {

struct PruneOptions {
  std::string model = "-";
  std::string output = "-";
  std::string pattern = "unstructured";
  std::string sparsity;   // "0.5"; "": not given
  std::string threshold;  // "0.01"
  std::string scope;      // tensor, layer, global; "": tensor
  std::string score = "magnitude";
  std::string norm = "l2";  // l1, l2: how the scores of a unit are added up
  std::vector<std::string> include;
  std::vector<std::string> exclude;
  int64_t round_to = 0;
  bool dense = false;
  bool dry_run = false;
  bool json = false;
  std::string report;
  int64_t threads = 0;  // 0: default_threads()
  std::string max_memory;
  std::string shard_size;
};

enum class PatternKind : uint8_t { kUnstructured, kGroups, kStructured };
enum class Scope : uint8_t { kTensor, kLayer, kGlobal };

struct PruneRequest {
  PatternKind pattern = PatternKind::kUnstructured;
  NeighbourGroups groups;      // kGroups
  StructureRequest structure;  // kStructured
  double sparsity = 0;
  bool has_threshold = false;
  double threshold = 0;
  Scope scope = Scope::kTensor;
  const ScoreMethod* score = nullptr;
};

// Error(kUsage) where options do not parse or contradict each other.
PruneRequest parse_prune_options(const PruneOptions& options);

}  // namespace hone
