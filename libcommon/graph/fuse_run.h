// Runs the chains of a fuse report, fused and unfused, on the same inputs.
#pragma once

#include <cstdint>
#include <optional>

#include "kernels/backend.h"
#include "libcommon/graph/fuse_report.h"

namespace hone {

struct FuseRunOptions {
  std::optional<double> tolerance;  // of all chains; unset: each row's own
  uint64_t seed = 1;                // of the token ids
  bool measure = true;              // times
  // The reference backend is slow: it runs the first of identical places always, others, and the
  // whole model, while they stay below so many FLOPs.
  double reference_flops = 4e9;
};

// Fills report.lines[].check and report.model. report: made of the same model. The step has
// report.shape.tokens random token ids, all of whose logits are wanted.
void run_fusions(FuseReport& report, const LoadedModel& model, Backend& backend,
                 const FuseRunOptions& options);

}  // namespace hone
