// Runs steps of a placed model, or of a part of one: brings token ids in, or the hidden state that
// the part before made; gives the graph its memory; brings logits, or the hidden state, out. On a
// backend that can record, a step of few tokens is recorded the second time its shape comes, and
// replayed from then on: one call instead of one for each op.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "libcommon/graph/buffer.h"
#include "libcommon/graph/execute.h"
#include "libcommon/graph/plan.h"
#include "libcommon/run/device_model.h"
#include "libcommon/run/kv_cache.h"

namespace hone {

// What a runner takes of a backend's memory for so large steps of a graph: values and indices.
int64_t step_bytes(const Graph& graph, const PlanLimits& limits);

class StepRunner {
 public:
  // ranks: that share the model, or null.
  StepRunner(const DeviceModel& model, Communicator* ranks);

  // Bytes of activations and indices, now and with room for so many more tokens and logits.
  int64_t bytes() const {
    return arena_.bytes() + indices_.bytes() + draws_.bytes() + text_.bytes();
  }
  int64_t bytes_for(int64_t tokens, int64_t wanted) const;
  bool has_room(int64_t tokens, int64_t wanted) const {
    return tokens <= limits_.tokens && wanted <= limits_.wanted;
  }
  void make_room(int64_t tokens, int64_t wanted);

  // The graph's output, on the host: logits [wanted, vocab], or the hidden state [tokens, hidden],
  // valid until the next call. For all that fits the room. hidden: the graph's input, if it has
  // one.
  std::span<const float> run(std::span<const StepToken> tokens, std::span<const RopeRun> rope,
                             const KvCache& cache, std::span<const float> hidden);
  // The same, and of each row of logits only the token drawn: argmax where that says it, else
  // sample. Several steps may be started before the first is finished where the backend runs ahead.
  void start_draws(std::span<const StepToken> tokens, const Draws& draws,
                   std::span<const RopeRun> rope, const KvCache& cache,
                   std::span<const float> hidden);
  size_t started() const { return started_.size(); }
  std::span<const Sampled> finish_draws();  // of the first; valid until the next call

  void time_ops(OpTimes* times) { executor_.time_ops(times); }

 private:
  // What is left of the output.
  enum class Outcome : uint8_t { kLogits, kLargest, kDraws, kDrawsAndProbabilities };
  struct Shape {
    int64_t tokens, wanted;
    Outcome outcome;
    Outcome follows;  // of the step that draws this one's ids; kLogits: they are given
    const double* inv_freq = nullptr;  // that the tokens turn by, where all by the same
    auto operator<=>(const Shape&) const = default;
  };
  struct Recorded {
    int runs = 0;
    int recording = -1;
  };
  int64_t bring_in(std::span<const StepToken> tokens, std::span<const float> hidden);
  StepInputs inputs(int64_t tokens, int64_t wanted, std::span<const RopeRun> rope,
                    const KvCache& cache) const;
  void bring_in_draws(std::span<const Draw> draws);
  void run_ops(const StepInputs& step, const Shape& shape);
  void run_or_replay(const StepInputs& step, Shape shape);
  void take_drawn_ids(const Shape& shape);
  const Value& output() const {
    return model_.graph.values[static_cast<size_t>(model_.graph.output)];
  }
  const void* result(Outcome outcome) const;
  static size_t bytes_of(Outcome outcome) {  // of a row's result
    return outcome == Outcome::kLargest ? sizeof(int32_t) : sizeof(Sampled);
  }
  void forget_recordings();

  const DeviceModel& model_;
  Backend& backend_;
  bool on_device_;  // all of a step: sums of ranks may pass through the host
  Executor executor_;
  PlanLimits limits_ = {.tokens = 0, .wanted = 0};
  Buffer arena_;
  Buffer indices_;  // ids, sequences, positions, wanted rows, largest: limits_.tokens each
  Buffer draws_;    // SampleRow, then Sampled: limits_.tokens each
  Buffer text_;     // ids that are penalised
  std::vector<int32_t> host_indices_;
  std::vector<float> host_output_;
  struct Started {
    size_t rows;
    Outcome outcome;
  };
  std::deque<Started> started_;
  Outcome last_ = Outcome::kLogits;
  std::vector<int32_t> host_largest_;
  std::vector<Sampled> host_drawn_;
  std::map<Shape, Recorded> recorded_;
  std::pair<const std::byte*, int64_t> recorded_cache_ = {nullptr, 0};
};

}  // namespace hone
