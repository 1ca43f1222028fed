// A placed model at work, in one part or in two: each has a backend, weights, caches and a runner
// of its own, and gets the hidden state that the one before it made, which passes through the host.
//
// A backend runs ahead of the host only where it has the whole model. In two parts nothing of a step
// can be given ahead: its first op looks up, on the CPU, the token that the last op of the step
// before draws on the GPU. Sequences could be taken in two groups, one here while the other is
// there, but then each part would read its weights twice as often.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "libcommon/run/device_model.h"
#include "libcommon/run/kv_cache.h"
#include "libcommon/run/rope_table.h"
#include "libcommon/run/session.h"
#include "libcommon/run/step_runner.h"

namespace hone {

struct ModelPart {
  ModelPart(DeviceModel placed, const ModelSpec& spec, const KvShape& shape, Communicator* ranks)
      : model(std::move(placed)),
        cache(*model.backend, model.graph, shape),
        rope(*model.backend, spec),
        runner(model, ranks) {}

  DeviceModel model;
  KvCache cache;
  RopeTable rope;
  StepRunner runner;
};

class ModelParts {
 public:
  ModelParts(const LoadedModel& model, const SessionOptions& options, int64_t context);

  const std::vector<std::unique_ptr<ModelPart>>& all() const { return parts_; }
  Backend& last() const { return *parts_.back()->model.backend; }
  std::vector<SessionPart> described(int64_t context) const;
  DType kv_type() const { return parts_.back()->model.kv_type; }
  bool runs_ahead() const { return parts_.size() == 1 && last().runs_ahead(); }
  void time_ops(OpTimes* times);

  // Of all parts: bytes of caches, now and with room for so many positions, and of activations.
  int64_t cache_bytes() const;
  int64_t cache_bytes_for(int64_t positions) const;
  int64_t activation_bytes() const;
  int64_t activation_bytes_for(const PlanLimits& limits) const;
  void reserve(int64_t positions);
  bool has_room(int64_t tokens, int64_t wanted) const {
    return parts_.back()->runner.has_room(tokens, wanted);
  }
  void make_room(const PlanLimits& limits);

  // As StepRunner's. reached: the length of each token's sequence after the call.
  std::span<const float> run(std::span<const StepToken> tokens, std::span<const int64_t> reached);
  void start_draws(std::span<const StepToken> tokens, const Draws& draws,
                   std::span<const int64_t> reached);
  size_t started() const { return parts_.back()->runner.started(); }
  std::span<const Sampled> finish_draws() { return parts_.back()->runner.finish_draws(); }

 private:
  std::span<const float> run_up_to(size_t count, std::span<const StepToken> tokens,
                                   std::span<const int64_t> reached);

  std::vector<std::unique_ptr<ModelPart>> parts_;  // in the order in which they run
};

}  // namespace hone
