#include "libcommon/run/step_runner.h"

#include <algorithm>

#include "kernels/check.h"

namespace hone {
namespace {

constexpr int64_t kIndexKinds = 5;
constexpr int64_t kMostRecordedTokens = 16;  // larger steps spend their time in kernels
constexpr auto kIndexBytes = static_cast<int64_t>(sizeof(int32_t));

}  // namespace

StepRunner::StepRunner(const DeviceModel& model, Communicator* ranks)
    : model_(model),
      backend_(*model.backend),
      alone_(ranks == nullptr),
      executor_(*model.backend, model.graph, model.weights.table, ranks) {}

int64_t StepRunner::bytes_for(int64_t tokens, int64_t wanted) const {
  const Plan plan = plan_arena(model_.graph, {.tokens = tokens, .wanted = wanted});
  return plan.arena_bytes + kIndexKinds * tokens * kIndexBytes;
}

void StepRunner::make_room(int64_t tokens, int64_t wanted) {
  if (has_room(tokens, wanted)) return;
  limits_ = {.tokens = std::max(tokens, limits_.tokens),
             .wanted = std::max(wanted, limits_.wanted)};
  forget_recordings();
  const Plan plan = plan_arena(model_.graph, limits_);
  arena_.reset();
  arena_ = Buffer(backend_, plan.arena_bytes);
  indices_ = Buffer(backend_, kIndexKinds * limits_.tokens * kIndexBytes);
  host_indices_.resize(static_cast<size_t>(kIndexKinds * limits_.tokens));
  executor_.bind(plan, arena_.as<std::byte>());
}

// Returns how many of the tokens want logits.
int64_t StepRunner::bring_in(std::span<const StepToken> tokens) {
  int32_t* const ids = host_indices_.data();
  int32_t* const sequences = ids + limits_.tokens;
  int32_t* const positions = sequences + limits_.tokens;
  int32_t* const rows = positions + limits_.tokens;
  int64_t wanted = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    ids[i] = tokens[i].id;
    sequences[i] = tokens[i].sequence;
    positions[i] = tokens[i].position;
    if (tokens[i].wants_logits) rows[wanted++] = static_cast<int32_t>(i);
  }
  const int64_t bytes = (kIndexKinds - 1) * limits_.tokens * kIndexBytes;
  backend_.copy_in(indices_.as<void>(), host_indices_.data(), static_cast<size_t>(bytes));
  return wanted;
}

StepInputs StepRunner::inputs(int64_t tokens, int64_t wanted, std::span<const RopeRun> rope,
                              const KvCache& cache) const {
  const auto* const ids = indices_.as<int32_t>();
  return {.tokens = tokens,
          .wanted = wanted,
          .ids = ids,
          .sequences = ids + limits_.tokens,
          .positions = ids + 2 * limits_.tokens,
          .wanted_rows = ids + 3 * limits_.tokens,
          .rope = rope,
          .cache = cache.layers(),
          .capacity = cache.capacity()};
}

void StepRunner::run_ops(const StepInputs& step, bool argmax) {
  executor_.run(step);
  if (!argmax || step.wanted == 0) return;
  backend_.run.argmax(
      {.x = executor_.buffer(model_.graph.logits),
       .out = indices_.as<int32_t>() + 4 * limits_.tokens,
       .rows = step.wanted,
       .dim = model_.graph.values[static_cast<size_t>(model_.graph.logits)].columns});
}

void StepRunner::forget_recordings() {
  if (!recorded_.empty()) backend_.forget_recordings();
  recorded_.clear();
}

// A recording holds addresses: of the arena and the indices, which make_room() moves, and of the
// caches, which grow.
void StepRunner::run_or_replay(const StepInputs& step, bool argmax) {
  // What comes from other ranks passes through the host.
  const bool recordable = alone_ && step.tokens <= kMostRecordedTokens && step.rope.size() <= 1;
  if (!recordable) return run_ops(step, argmax);
  const std::pair<const std::byte*, int64_t> cache(
      step.cache.empty() ? nullptr : step.cache[0].keys, step.capacity);
  if (cache != recorded_cache_) forget_recordings();
  recorded_cache_ = cache;
  Recorded& known = recorded_[{step.tokens, step.wanted, argmax}];
  if (known.recording >= 0) return backend_.replay(known.recording);
  // The first run is not recorded: kernels are loaded and scratch memory is taken then.
  if (known.runs++ != 1 || !backend_.begin_recording()) return run_ops(step, argmax);
  run_ops(step, argmax);
  known.recording = backend_.end_recording();
  if (known.recording >= 0) backend_.replay(known.recording);
}

std::span<const float> StepRunner::run(std::span<const StepToken> tokens,
                                       std::span<const RopeRun> rope, const KvCache& cache) {
  const int64_t wanted = bring_in(tokens);
  run_or_replay(inputs(static_cast<int64_t>(tokens.size()), wanted, rope, cache), false);
  const int logits = model_.graph.logits;
  const auto count =
      static_cast<size_t>(wanted * model_.graph.values[static_cast<size_t>(logits)].columns);
  const float* const there = executor_.buffer(logits);
  if (backend_.shares_host_memory()) return {there, count};
  host_logits_.resize(std::max(host_logits_.size(), count));
  backend_.copy_out(host_logits_.data(), there, count * sizeof(float));
  return {host_logits_.data(), count};
}

std::span<const int32_t> StepRunner::run_argmax(std::span<const StepToken> tokens,
                                                std::span<const RopeRun> rope,
                                                const KvCache& cache) {
  const int64_t wanted = bring_in(tokens);
  run_or_replay(inputs(static_cast<int64_t>(tokens.size()), wanted, rope, cache), true);
  host_largest_.resize(static_cast<size_t>(wanted));
  backend_.copy_out(host_largest_.data(), indices_.as<int32_t>() + 4 * limits_.tokens,
                    host_largest_.size() * sizeof(int32_t));
  return host_largest_;
}

}  // namespace hone
