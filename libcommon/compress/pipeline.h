// Header, then tensors: reader -> steps -> writer, each in a thread of its own, so that reading,
// work and writing overlap and a stage of a pipe is as fast as its slowest part.
//
//   reader --chunks--> worker (this thread, with its pool) --bytes--> writer
//
// Buffers under way are bounded (buffers.h), whatever the model's size.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "libcommon/compress/transform.h"

namespace hone {

// A stage's whole work, decided before the first data byte.
struct StagePlan {
  CheckpointHeader header;  // of the output; tensors are those of the steps, in order
  std::vector<Step> steps;  // ascending inputs; a tensor in no step is dropped
};

// Output header from the input's: same side files, history with this command appended, tensors of
// the steps; aliases whose target is gone are dropped.
StagePlan plan_stage(const CheckpointHeader& input, std::vector<Step> steps);

// A step that passes tensor `index` on unchanged.
Step copy_step(const CheckpointHeader& input, int64_t index);

struct PipelineOptions {
  int threads = 1;
  std::string label;                 // of the progress line
  std::function<Json()> statistics;  // for the trailer; asked when all tensors are done
};

// Runs the plan and finishes the writer. The first error of any thread stops all and is thrown
// here.
void run_pipeline(CheckpointReader& reader, CheckpointWriter& writer, const StagePlan& plan,
                  const PipelineOptions& options);

// Peak resident bytes of run_pipeline, from the header alone: buffers under way, tensors held
// whole, what each transform keeps until its tensor ends, side files. An upper estimate.
int64_t pipeline_memory(const CheckpointHeader& input, const StagePlan& plan, bool random_access);

// Steps whose tensors `visit` wants to look at before anything is decided: every named tensor, in
// chunks, read at random access. Used by prune's global decisions.
void scan_tensor(CheckpointReader& reader, int64_t tensor, int64_t row_multiple,
                 const std::function<void(const Chunk&)>& visit);

}  // namespace hone
