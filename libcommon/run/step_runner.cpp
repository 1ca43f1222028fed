#include "libcommon/run/step_runner.h"

#include <algorithm>

#include "kernels/check.h"

namespace hone {
namespace {

constexpr int64_t kIndexKinds = 5;
constexpr int64_t kMostRecordedTokens = 16;  // larger steps spend their time in kernels
constexpr auto kIndexBytes = static_cast<int64_t>(sizeof(int32_t));
constexpr auto kDrawBytes = static_cast<int64_t>(sizeof(SampleRow) + sizeof(Sampled));

}  // namespace

int64_t step_bytes(const Graph& graph, const PlanLimits& limits) {
  return plan_arena(graph, limits).arena_bytes +
         limits.tokens * (kIndexKinds * kIndexBytes + kDrawBytes);
}

StepRunner::StepRunner(const DeviceModel& model, Communicator* ranks)
    : model_(model),
      backend_(*model.backend),
      on_device_(ranks == nullptr || backend_.group() != nullptr),
      executor_(*model.backend, model.graph, model.weights.table, ranks) {}

int64_t StepRunner::bytes_for(int64_t tokens, int64_t wanted) const {
  return step_bytes(model_.graph, {.tokens = tokens, .wanted = wanted});
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
  draws_ = Buffer(backend_, kDrawBytes * limits_.tokens);
  host_indices_.resize(static_cast<size_t>(kIndexKinds * limits_.tokens));
  executor_.bind(plan, arena_.as<std::byte>());
}

// Returns how many of the tokens want logits.
int64_t StepRunner::bring_in(std::span<const StepToken> tokens, std::span<const float> hidden) {
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
  if (const int input = model_.graph.input; input >= 0) {
    const Value& value = model_.graph.values[static_cast<size_t>(input)];
    CHECK(hidden.size() == tokens.size() * static_cast<size_t>(value.columns));
    backend_.copy_in(executor_.buffer(input), hidden.data(), hidden.size_bytes());
  }
  return wanted;
}

void StepRunner::bring_in_draws(std::span<const Draw> draws) {
  std::vector<SampleRow> rows;
  std::vector<int32_t> text;
  for (const Draw& draw : draws) {
    rows.push_back(sample_row(*draw.options, draw.position));
    rows.back().text_length = static_cast<int64_t>(draw.seen.size());
    text.insert(text.end(), draw.seen.begin(), draw.seen.end());
  }
  const size_t bytes = text.size() * sizeof(int32_t);
  if (static_cast<int64_t>(bytes) > text_.bytes()) {
    text_ = Buffer(backend_, 2 * static_cast<int64_t>(bytes));
  }
  backend_.copy_in(text_.as<void>(), text.data(), bytes);
  const int32_t* next = text_.as<int32_t>();
  for (SampleRow& row : rows) {
    if (row.text_length > 0) row.text = next;
    next += row.text_length;
  }
  backend_.copy_in(draws_.as<void>(), rows.data(), rows.size() * sizeof(SampleRow));
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

// Where a step leaves what it draws: the indices of the largest, or structs.
const void* StepRunner::result(Outcome outcome) const {
  if (outcome == Outcome::kLargest) return indices_.as<int32_t>() + 4 * limits_.tokens;
  return draws_.as<SampleRow>() + limits_.tokens;
}

void StepRunner::take_drawn_ids(const Shape& shape) {
  if (shape.follows == Outcome::kLogits) return;
  const bool largest = shape.follows == Outcome::kLargest;
  backend_.run.drawn_ids({.ids = indices_.as<int32_t>(),
                          .drawn = static_cast<const int32_t*>(result(shape.follows)),
                          .stride = largest ? 1 : int64_t{sizeof(Sampled) / sizeof(int32_t)},
                          .count = shape.tokens});
}

void StepRunner::run_ops(const StepInputs& step, const Shape& shape) {
  take_drawn_ids(shape);
  executor_.run(step);
  if (shape.outcome == Outcome::kLogits || step.wanted == 0) return;
  const float* const logits = executor_.buffer(model_.graph.output);
  const int64_t vocab = output().columns;
  void* const out = const_cast<void*>(result(shape.outcome));
  if (shape.outcome == Outcome::kLargest) {
    backend_.run.argmax(
        {.x = logits, .out = static_cast<int32_t*>(out), .rows = step.wanted, .dim = vocab});
  } else {
    backend_.run.sample({.x = logits,
                         .settings = draws_.as<SampleRow>(),
                         .out = static_cast<Sampled*>(out),
                         .log_probabilities = shape.outcome == Outcome::kDrawsAndProbabilities,
                         .rows = step.wanted,
                         .dim = vocab});
  }
}

void StepRunner::forget_recordings() {
  if (!recorded_.empty()) backend_.forget_recordings();
  recorded_.clear();
}

// A recording holds addresses: of the arena and the indices, which make_room() moves, of the
// caches, which grow, and of the frequencies, which are others for each length under dynamic
// scaling.
void StepRunner::run_or_replay(const StepInputs& step, Shape shape) {
  const bool recordable =
      model_.record && on_device_ && step.tokens <= kMostRecordedTokens && step.rope.size() <= 1;
  if (!recordable) return run_ops(step, shape);
  const std::pair<const std::byte*, int64_t> cache(
      step.cache.empty() ? nullptr : step.cache.back().keys, step.capacity);
  if (cache != recorded_cache_) forget_recordings();
  recorded_cache_ = cache;
  if (!step.rope.empty()) shape.inv_freq = step.rope.front().inv_freq;
  Recorded& known = recorded_[shape];
  if (known.recording >= 0) return backend_.replay(known.recording);
  // The first run is not recorded: kernels are loaded and scratch memory is taken then.
  if (known.runs++ != 1) return run_ops(step, shape);
  known.recording = backend_.record([&] { run_ops(step, shape); });
  if (known.recording >= 0) backend_.replay(known.recording);
}

std::span<const float> StepRunner::run(std::span<const StepToken> tokens,
                                       std::span<const RopeRun> rope, const KvCache& cache,
                                       std::span<const float> hidden) {
  const int64_t wanted = bring_in(tokens, hidden);
  const auto count_of_tokens = static_cast<int64_t>(tokens.size());
  run_or_replay(inputs(count_of_tokens, wanted, rope, cache),
                {count_of_tokens, wanted, Outcome::kLogits, Outcome::kLogits});
  const int64_t rows = output().rows == Rows::kWanted ? wanted : count_of_tokens;
  const auto count = static_cast<size_t>(rows * output().columns);
  const float* const there = executor_.buffer(model_.graph.output);
  if (backend_.shares_host_memory()) return {there, count};
  host_output_.resize(std::max(host_output_.size(), count));
  backend_.copy_out(host_output_.data(), there, count * sizeof(float));
  return {host_output_.data(), count};
}

void StepRunner::start_draws(std::span<const StepToken> tokens, const Draws& draws,
                             std::span<const RopeRun> rope, const KvCache& cache,
                             std::span<const float> hidden) {
  const auto count = static_cast<int64_t>(tokens.size());
  const int64_t wanted = bring_in(tokens, hidden);
  CHECK(wanted == static_cast<int64_t>(draws.rows.size()));
  const bool follows = std::any_of(tokens.begin(), tokens.end(),
                                   [](const StepToken& token) { return token.id < 0; });
  CHECK(!follows || last_ != Outcome::kLogits);
  const bool greedy = std::all_of(draws.rows.begin(), draws.rows.end(),
                                  [](const Draw& draw) { return is_greedy(*draw.options); });
  const Outcome outcome = draws.log_probabilities ? Outcome::kDrawsAndProbabilities
                          : greedy                ? Outcome::kLargest
                                                  : Outcome::kDraws;
  const Shape shape = {count, wanted, outcome, follows ? last_ : Outcome::kLogits};
  if (shape.outcome != Outcome::kLargest) bring_in_draws(draws.rows);
  run_or_replay(inputs(count, wanted, rope, cache), shape);
  last_ = shape.outcome;
  if (wanted == 0) return;
  started_.push_back({static_cast<size_t>(wanted), shape.outcome});
  if (backend_.runs_ahead()) {
    backend_.start_copy_out(result(shape.outcome), bytes_of(shape.outcome) * draws.rows.size());
  }
}

std::span<const Sampled> StepRunner::finish_draws() {
  const auto [rows, outcome] = started_.front();
  started_.pop_front();
  const bool largest = outcome == Outcome::kLargest;
  host_drawn_.assign(rows, {});
  host_largest_.resize(largest ? rows : 0);
  void* const to = largest ? static_cast<void*>(host_largest_.data()) : host_drawn_.data();
  const size_t bytes = bytes_of(outcome) * rows;
  if (backend_.runs_ahead()) {
    backend_.finish_copy_out(to, bytes);
  } else {
    backend_.copy_out(to, result(outcome), bytes);
  }
  for (size_t i = 0; i < host_largest_.size(); ++i) host_drawn_[i].id = host_largest_[i];
  return host_drawn_;
}

}  // namespace hone
