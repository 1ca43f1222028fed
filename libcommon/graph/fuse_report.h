// What hone-fuse-check reports: every place where a fusion was tried, what it costs and saves, and,
// where the model is there to run, how far fused and unfused results lie apart.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/graph/cost.h"
#include "libcommon/graph/difference.h"
#include "libcommon/graph/rewrite.h"
#include "libcommon/io/json.h"

namespace hone {

struct Timing {
  double unfused_seconds = 0;  // medians of interleaved runs
  double fused_seconds = 0;
};

// One fused chain, run on the inputs that it has in the unfused model.
struct ChainCheck {
  Difference fused_unfused;
  std::optional<Difference> fused_reference;    // against the double-precision backend, chain by
  std::optional<Difference> unfused_reference;  // chain on the same inputs: which is nearer?
  double tolerance = 0;
  std::string tolerance_name;
  std::optional<Timing> timing;  // of the first of identical places

  bool passed() const { return fused_unfused.relative <= tolerance; }
};

struct FusionLine {
  Candidate candidate;
  FusionCost cost;
  int64_t rank = 0;     // by fusion factor, 1 the largest; identical places share theirs
  std::string shapes;   // "[256, 64] + 2 x [128, 64]": weights [out, in], else rows x columns
  std::string storage;  // "BF16"
  std::string group;    // equal for places that differ in nothing but the layer
  std::optional<ChainCheck> check;
};

struct GraphFigures {
  Cost cost;
  int64_t arena_bytes = 0;  // peak of planned activations
  int64_t sum_bytes = 0;    // of all activations, had each bytes of its own
};

// The whole model in one step.
struct ModelCheck {
  Difference fused_unfused;  // of logits
  std::optional<Difference> fused_reference;
  std::optional<Difference> unfused_reference;
  double tolerance = 0;
  std::string tolerance_name;
  Timing prefill;  // of all tokens
  Timing decode;   // of one more

  bool passed() const { return fused_unfused.relative <= tolerance; }
};

struct FuseReport {
  std::string subject;  // the model's name
  CostShape shape;      // the step that was costed and run
  Graph before;
  Graph after;
  GraphFigures figures_before;
  GraphFigures figures_after;
  std::vector<FusionLine> lines;  // fused ones by rank, then the others
  std::optional<ModelCheck> model;

  bool passed() const;                          // no fused chain is outside its tolerance
  bool has_fused(std::string_view name) const;  // somewhere in the model
};

struct FuseReportInputs {
  std::string subject;
  const ModelSpec& spec;
  const WeightTable& weights;  // of a header or of a model
  CostShape shape;
  RewriteOptions rewrite = {};
};

// From shapes alone; checks and model stay empty.
FuseReport fuse_report(const FuseReportInputs& inputs);

// ---- As text.
std::string fuse_table(const FuseReport& report);  // for people: identical layers in one line
Json fuse_json(const FuseReport& report);          // every place
std::string dot_text(const Graph& before, const Graph& after);  // Graphviz, both graphs

}  // namespace hone
