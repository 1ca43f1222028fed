#include "libcommon/run/model_parts.h"

namespace hone {
namespace {

// Of `bytes(part)`.
template <typename Bytes>
int64_t sum(const std::vector<std::unique_ptr<ModelPart>>& parts, const Bytes& bytes) {
  int64_t total = 0;
  for (const auto& part : parts) total += bytes(*part);
  return total;
}

}  // namespace

ModelParts::ModelParts(const LoadedModel& model, const SessionOptions& options, int64_t context) {
  for (DeviceModel& placed : place_model(model, options)) {
    const KvShape shape = {
        .sequences = options.sequences, .limit = context, .type = placed.kv_type};
    parts_.push_back(
        std::make_unique<ModelPart>(std::move(placed), model.spec, shape, options.ranks));
  }
}

std::vector<SessionPart> ModelParts::described(int64_t context) const {
  std::vector<SessionPart> all;
  for (const auto& part : parts_) {
    const DeviceModel& model = part->model;
    all.push_back({.backend = std::string(model.backend->name()),
                   .detail = std::string(model.backend->detail()),
                   .layers = layers_of(model.graph),
                   .weights = model.weight_bytes,
                   .cache_limit = part->cache.bytes_for(context)});
  }
  return all;
}

void ModelParts::time_ops(OpTimes* times) {
  for (const auto& part : parts_) part->runner.time_ops(times);
}

int64_t ModelParts::cache_bytes() const {
  return sum(parts_, [](const ModelPart& part) { return part.cache.bytes(); });
}

int64_t ModelParts::cache_bytes_for(int64_t positions) const {
  return sum(parts_, [&](const ModelPart& part) {
    return part.cache.bytes_for(part.cache.capacity_for(positions));
  });
}

int64_t ModelParts::activation_bytes() const {
  return sum(parts_, [](const ModelPart& part) { return part.runner.bytes(); });
}

int64_t ModelParts::activation_bytes_for(const PlanLimits& limits) const {
  return sum(parts_, [&](const ModelPart& part) {
    return part.runner.bytes_for(limits.tokens, limits.wanted);
  });
}

void ModelParts::reserve(int64_t positions) {
  for (const auto& part : parts_) part->cache.reserve(positions);
}

void ModelParts::make_room(const PlanLimits& limits) {
  for (const auto& part : parts_) part->runner.make_room(limits.tokens, limits.wanted);
}

// What the first `count` parts make of the tokens: nothing, where there are none.
std::span<const float> ModelParts::run_up_to(size_t count, std::span<const StepToken> tokens,
                                             std::span<const int64_t> reached) {
  std::span<const float> made;
  for (size_t i = 0; i < count; ++i) {
    ModelPart& part = *parts_[i];
    made = part.runner.run(tokens, part.rope.runs(reached), part.cache, made);
  }
  return made;
}

std::span<const float> ModelParts::run(std::span<const StepToken> tokens,
                                       std::span<const int64_t> reached) {
  return run_up_to(parts_.size(), tokens, reached);
}

void ModelParts::start_draws(std::span<const StepToken> tokens, const Draws& draws,
                             std::span<const int64_t> reached) {
  const std::span<const float> made = run_up_to(parts_.size() - 1, tokens, reached);
  ModelPart& part = *parts_.back();
  part.runner.start_draws(tokens, draws, part.rope.runs(reached), part.cache, made);
}

}  // namespace hone
