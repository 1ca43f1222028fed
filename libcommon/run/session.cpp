#include "libcommon/run/session.h"

#include <algorithm>
#include <bit>
#include <deque>
#include <limits>

#include "kernels/check.h"
#include "kernels/sample.h"
#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/graph/buffer.h"
#include "libcommon/graph/cost.h"
#include "libcommon/model/shard.h"
#include "libcommon/run/join_devices.h"
#include "libcommon/run/model_parts.h"
#include "libcommon/run/step_scratch.h"

namespace hone {
namespace {

constexpr size_t kMostStarted = 2;  // steps, beyond which a long call waits for its first
constexpr int64_t kMostPositions = std::numeric_limits<int32_t>::max();

int64_t checked_context(const LoadedModel& model, const SessionOptions& options) {
  if (options.context == 0) return std::min(model.spec.context, kMostPositions);
  if (options.context < 0 || options.context > kMostPositions) {
    throw usage_error("--ctx " + std::to_string(options.context) + ": must be from 1 to " +
                      std::to_string(kMostPositions));
  }
  if (model.spec.positions == PositionKind::kLearned && options.context > model.spec.context) {
    throw usage_error("--ctx " + std::to_string(options.context) + ": " + model.subject +
                      " has learned positions for " + std::to_string(model.spec.context) +
                      " tokens only");
  }
  return options.context;
}

// Tokens are drawn by integers that more ids would overflow.
void check_vocabulary(const LoadedModel& model) {
  if (model.spec.vocab <= kMostSampledIds) return;
  throw Error(model.subject + ": a vocabulary of " + std::to_string(model.spec.vocab) +
              " ids; tokens are drawn from at most " + std::to_string(kMostSampledIds));
}

int64_t grown_limit(int64_t old, int64_t needed, int64_t most) {
  if (needed <= old) return old;
  const auto rounded = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(needed)));
  return std::max(needed, std::min(rounded, most));
}

TokenCost token_cost_of(const Graph& graph, const WeightTable& weights, const CostShape& shape) {
  const Cost cost = total_cost(graph, graph.nodes, weights, shape);
  return {.weight_bytes = cost.weight_bytes, .cache_bytes = cost.cache_bytes, .flops = cost.flops};
}

// Calls body(matrix) for every matrix of the products.
template <class Body>
void for_each_product(const ModelParts& parts, const Body& body) {
  for (const auto& part : parts.all()) {
    for (const Node& node : part->model.graph.nodes) {
      if (node.op == OpKind::kEmbed) continue;
      for (const WeightKey& key : matrices_of(node)) body(part->model.weights.table.matrix(key));
    }
  }
}

int64_t count_products(const ModelParts& parts, bool (*counts)(const WeightView&)) {
  int64_t count = 0;
  for_each_product(parts, [&](const WeightView& matrix) { count += counts(matrix); });
  return count;
}

}  // namespace

std::optional<Compute> compute_from_name(std::string_view name) {
  if (name == "auto") return Compute::kAuto;
  if (name == "f32") return Compute::kF32;
  if (name == "int8") return Compute::kInt8;
  if (name == "bf16") return Compute::kBF16;
  return std::nullopt;
}

struct Session::State {
  State(std::shared_ptr<const LoadedModel> loaded, const SessionOptions& chosen)
      : whole(std::move(loaded)),
        model(chosen.ranks ? shard_model(whole, chosen.ranks->shard()) : whole),
        options(chosen),
        context(checked_context(*model, options)),
        parts(*model, options, context),
        lengths(static_cast<size_t>(options.sequences), 0) {
    options.max_batch_tokens = batch_tokens(options, parts.last());
  }

  int64_t weights_in_memory() const;
  void check_memory(int64_t cache_bytes, int64_t activation_bytes) const;
  void check_tokens(std::span<const StepToken> tokens) const;
  int64_t make_room(std::span<const StepToken> tokens);
  std::vector<int64_t> advance(std::span<const StepToken> tokens);
  std::vector<int64_t> begin(std::span<const StepToken> tokens);
  void take_draws();
  std::span<const float> run_chunk(std::span<const StepToken> tokens,
                                   std::span<const int64_t> reached);

  std::shared_ptr<const LoadedModel> whole;
  std::shared_ptr<const LoadedModel> model;  // this rank's part, where ranks share it
  SessionOptions options;
  double create_seconds = 0;
  int64_t context;
  ModelParts parts;
  std::vector<int64_t> lengths;                    // tokens of each sequence
  PlanLimits limits = {.tokens = 0, .wanted = 0};  // what the parts have room for
  std::vector<float> joined;                       // logits of a call that took several chunks
  std::deque<size_t> started;                      // rows of the calls that are not finished
  std::vector<Sampled> arrived;                    // of those, in order
  std::vector<Sampled> drawn;                      // by the last call that is
};

int64_t Session::State::weights_in_memory() const {
  int64_t bytes = model->resident_bytes;
  for (const auto& part : parts.all()) bytes += part->model.own_bytes;
  return bytes;
}

void Session::State::check_memory(int64_t cache_bytes, int64_t activation_bytes) const {
  const int64_t weights = weights_in_memory();
  const int64_t total = weights + cache_bytes + activation_bytes;
  if (options.max_memory <= 0 || total <= options.max_memory) return;
  const auto text = [](int64_t bytes) { return human_bytes(static_cast<double>(bytes)); };
  throw resource_error(model->subject + ": needs " + text(total) + " (weights " + text(weights) +
                       ", key-value cache " + text(cache_bytes) + " in " +
                       std::string(kv_type_name(parts.kv_type())) + ", activations " +
                       text(activation_bytes) + "), --max-memory is " + text(options.max_memory) +
                       "; a smaller --ctx or --kv-type needs less");
}

void Session::State::check_tokens(std::span<const StepToken> tokens) const {
  std::vector<int64_t> length = lengths;
  std::vector<bool> begun(lengths.size(), false);  // only a sequence's first token may go back
  for (const StepToken& token : tokens) {
    CHECK(token.sequence >= 0 && token.sequence < options.sequences);
    const auto at = static_cast<size_t>(token.sequence);
    CHECK(token.position >= 0 && token.position <= length[at]);
    CHECK(!begun[at] || token.position == length[at]);
    begun[at] = true;
    length[at] = token.position + 1;
    if (token.position >= context) {
      throw usage_error("position " + std::to_string(token.position) +
                        " does not fit a context of " + std::to_string(context) +
                        " tokens; see --ctx");
    }
    if (token.id < 0 && !started.empty()) continue;
    if (token.id < 0 || token.id >= model->embedding.rows) {
      throw usage_error("token id " + std::to_string(token.id) + ": " + model->subject + " has " +
                        std::to_string(model->embedding.rows) + " ids");
    }
  }
}

// Memory for a chunk's tokens; grows by doubling. Returns how many want logits.
int64_t Session::State::make_room(std::span<const StepToken> chunk) {
  const auto tokens = static_cast<int64_t>(chunk.size());
  const auto wanted = std::count_if(chunk.begin(), chunk.end(),
                                    [](const StepToken& token) { return token.wants_logits; });
  if (parts.has_room(tokens, std::max<int64_t>(wanted, 1))) return wanted;
  limits = {
      .tokens = grown_limit(limits.tokens, tokens, options.max_batch_tokens),
      .wanted = grown_limit(limits.wanted, std::max<int64_t>(wanted, 1), options.max_batch_tokens)};
  check_memory(parts.cache_bytes(), parts.activation_bytes_for(limits));
  parts.make_room(limits);
  return wanted;
}

// Notes the tokens in their sequences; returns the length each token's sequence has after the call.
std::vector<int64_t> Session::State::advance(std::span<const StepToken> tokens) {
  for (const StepToken& token : tokens) {
    lengths[static_cast<size_t>(token.sequence)] = token.position + 1;
  }
  std::vector<int64_t> reached;
  for (const StepToken& token : tokens) {
    reached.push_back(lengths[static_cast<size_t>(token.sequence)]);
  }
  return reached;
}

// Brings the session's tables up to date with a call's tokens.
std::vector<int64_t> Session::State::begin(std::span<const StepToken> tokens) {
  check_tokens(tokens);
  int32_t last = 0;
  for (const StepToken& token : tokens) last = std::max(last, token.position);
  check_memory(parts.cache_bytes_for(last + 1), parts.activation_bytes());
  parts.reserve(last + 1);
  return advance(tokens);
}

std::span<const float> Session::State::run_chunk(std::span<const StepToken> tokens,
                                                 std::span<const int64_t> reached) {
  make_room(tokens);
  return parts.run(tokens, reached);
}

void Session::State::take_draws() {
  const std::span<const Sampled> next = parts.finish_draws();
  arrived.insert(arrived.end(), next.begin(), next.end());
}

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::~Session() = default;

std::unique_ptr<Session> Session::create(std::shared_ptr<const LoadedModel> model,
                                         const SessionOptions& options) {
  CHECK(options.sequences > 0 && options.max_batch_tokens >= 0);
  const Clock::time_point start = Clock::now();
  check_vocabulary(*model);
  auto state = std::make_unique<State>(std::move(model), options);
  const int64_t positions = options.context > 0 ? state->context : 1;
  state->check_memory(state->parts.cache_bytes_for(positions),
                      state->parts.activation_bytes_for({.tokens = 1, .wanted = 1}));
  state->create_seconds = seconds_since(start);
  return std::unique_ptr<Session>(new Session(std::move(state)));
}

std::span<const float> Session::step(std::span<const StepToken> tokens) {
  State& s = *state_;
  if (tokens.empty()) return {};
  const std::vector<int64_t> reached = s.begin(tokens);
  const auto chunk = static_cast<size_t>(s.options.max_batch_tokens);
  if (tokens.size() <= chunk) return s.run_chunk(tokens, reached);
  s.joined.clear();
  for (size_t begin = 0; begin < tokens.size(); begin += chunk) {
    const size_t count = std::min(chunk, tokens.size() - begin);
    const std::span<const float> part =
        s.run_chunk(tokens.subspan(begin, count), std::span(reached).subspan(begin, count));
    s.joined.insert(s.joined.end(), part.begin(), part.end());
  }
  return s.joined;
}

std::span<const Sampled> Session::step_draws(std::span<const StepToken> tokens,
                                             const Draws& draws) {
  start_draws(tokens, draws);
  return finish_draws();
}

void Session::start_draws(std::span<const StepToken> tokens, const Draws& draws) {
  State& s = *state_;
  const std::vector<int64_t> reached = s.begin(tokens);
  const auto chunk = static_cast<size_t>(s.options.max_batch_tokens);
  size_t done = 0;  // of the rows
  for (size_t begin = 0; begin < tokens.size(); begin += chunk) {
    const size_t count = std::min(chunk, tokens.size() - begin);
    const std::span<const StepToken> part = tokens.subspan(begin, count);
    const auto wanted = static_cast<size_t>(s.make_room(part));
    s.parts.start_draws(
        part,
        {.rows = draws.rows.subspan(done, wanted), .log_probabilities = draws.log_probabilities},
        std::span(reached).subspan(begin, count));
    done += wanted;
    while (s.parts.started() > (runs_ahead() ? kMostStarted : 0)) s.take_draws();
  }
  s.started.push_back(done);
}

std::span<const Sampled> Session::finish_draws() {
  State& s = *state_;
  CHECK(!s.started.empty());
  const size_t rows = s.started.front();
  s.started.pop_front();
  while (s.arrived.size() < rows) s.take_draws();
  const auto end = s.arrived.begin() + static_cast<std::ptrdiff_t>(rows);
  s.drawn.assign(s.arrived.begin(), end);
  s.arrived.erase(s.arrived.begin(), end);
  return s.drawn;
}

bool Session::runs_ahead() const { return state_->parts.runs_ahead(); }

void Session::reset(int32_t sequence) {
  CHECK(sequence >= 0 && sequence < state_->options.sequences);
  state_->lengths[static_cast<size_t>(sequence)] = 0;
}

const LoadedModel& Session::model() const { return *state_->model; }
const SessionOptions& Session::options() const { return state_->options; }
int64_t Session::vocab() const { return state_->model->spec.vocab; }
int64_t Session::context() const { return state_->context; }
int64_t Session::length(int32_t sequence) const {
  return state_->lengths.at(static_cast<size_t>(sequence));
}
DType Session::kv_type() const { return state_->parts.kv_type(); }
std::vector<SessionPart> Session::parts() const { return state_->parts.described(state_->context); }

std::string Session::backend_name() const {
  std::string names;
  for (const SessionPart& part : parts()) names += (names.empty() ? "" : "+") + part.backend;
  return names;
}

std::string Session::backend_detail() const {
  std::string details;
  for (const SessionPart& part : parts()) details += (details.empty() ? "" : " + ") + part.detail;
  return details;
}

void Session::time_ops(OpTimes* times) { state_->parts.time_ops(times); }
std::string Session::bus_id() const { return std::string(state_->parts.last().bus_id()); }
MachinePeaks Session::measure_peaks() { return state_->parts.last().measure_peaks(); }

std::string Session::transport() const {
  return state_->options.ranks ? transport_of(state_->parts.last()) : "";
}

double Session::create_seconds() const { return state_->create_seconds; }
int64_t Session::int8_products() const { return count_products(state_->parts, rounds_in_runs); }
int64_t Session::bf16_products() const { return count_products(state_->parts, rounds_to_bf16); }
int64_t Session::repacked_products() const {
  return count_products(state_->parts, [](const WeightView& w) { return w.tiles && !w.index; });
}

SparseProducts Session::sparse_products() const {
  SparseProducts products;
  int64_t all = 0;
  int64_t sparse = 0;
  for_each_product(state_->parts, [&](const WeightView& matrix) {
    const int64_t weights = matrix.rows * matrix.columns;
    ++products.matrices;
    products.two_of_four += matrix.index != nullptr;
    products.bitmask += matrix.mask != nullptr;
    all += weights;
    if (matrix.index || matrix.mask) sparse += weights;
  });
  if (all > 0) products.share = static_cast<double>(sparse) / static_cast<double>(all);
  return products;
}

SessionMemory Session::memory() const {
  const State& s = *state_;
  SessionMemory memory = {.weights = s.weights_in_memory(),
                          .cache = s.parts.cache_bytes(),
                          .activations = s.parts.activation_bytes()};
  for (const auto& part : s.parts.all()) {
    memory.cache_limit += part->cache.bytes_for(s.context);
  }
  return memory;
}

TokenCost Session::token_cost(int64_t depth) const {
  const State& s = *state_;
  if (s.options.ranks) {
    return token_cost_of(build_graph(s.whole->spec), weight_table(*s.whole),
                         {.depth = depth, .kv_type = kv_type()});
  }
  TokenCost total;
  for (const TokenCost& part : part_costs(depth)) {
    total.weight_bytes += part.weight_bytes;
    total.cache_bytes += part.cache_bytes;
    total.flops += part.flops;
  }
  return total;
}

std::vector<TokenCost> Session::part_costs(int64_t depth) const {
  std::vector<TokenCost> costs;
  for (const auto& part : state_->parts.all()) {
    costs.push_back(token_cost_of(part->model.graph, part->model.weights.table,
                                  {.depth = depth, .kv_type = kv_type()}));
  }
  return costs;
}

}  // namespace hone
