// hone-prune: a model in, a sparser or smaller model out.
//
// Score (what a weight is worth) and mask or structure (what goes) are independent choices. Masks
// stream row by row; decisions that need all weights first (a threshold over a layer or the model,
// the choice of neurons, heads, layers) read the model twice, from a pipe through a temporary file.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "libcommon/base/error.h"
#include "libcommon/compress/pipeline.h"
#include "libcommon/model/spec.h"
#include "libcommon/prune/options.h"

namespace hone {

// One tensor that changes; exactly one of the transforms is there.
struct PrunedTensor {
  std::string name;     // in the input
  std::string renamed;  // in the output
  std::vector<int64_t> shape_before;
  std::vector<int64_t> shape_after;
  bool packed = false;
  std::shared_ptr<MaskTransform> mask;
  std::shared_ptr<SelectTransform> select;

  const MaskStatistics& statistics() const {
    return mask ? mask->statistics() : select->statistics();
  }
};

struct PrunePlan {
  StagePlan plan;
  std::vector<PrunedTensor> tensors;
  std::vector<int64_t> dropped_layers;
};

// decided: false for --dry-run: the plan has the right shapes, but thresholds and units are not
// chosen and it must not be run. packed: 2:4 may be written packed. `reader` must offer random
// access where needs_all_weights(request).
struct PrunePlanner {
  CheckpointReader& reader;
  const ModelSpec& spec;
  const PruneOptions& options;
  const PruneRequest& request;
  bool packed = false;
  bool decided = true;

  PrunePlan plan(ThreadPool& pool) const;
};

bool needs_all_weights(const PruneRequest& request);

// The whole program but the parsing of its command line.
ExitCode run_prune(const PruneOptions& options);

}  // namespace hone
