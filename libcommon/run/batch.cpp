#include "libcommon/run/batch.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"

namespace hone {
namespace {

void check_request(const GenerateRequest& request, const Session& session) {
  check_sampler_options(request.sampler);
  if (request.ids.empty()) {
    throw usage_error("the prompt is empty and the model has no token that begins a text");
  }
  const auto length = static_cast<int64_t>(request.ids.size());
  if (length > session.context()) {
    throw usage_error("the prompt has " + std::to_string(length) + " tokens, the context is " +
                      std::to_string(session.context()) + "; see --ctx");
  }
  for (int32_t id : request.ids) {
    if (id >= 0 && id < session.vocab()) continue;
    throw usage_error("token id " + std::to_string(id) + ": " + session.model().subject + " has " +
                      std::to_string(session.vocab()) + " ids");
  }
}

void check_all(std::span<const GenerateRequest> requests, const Session& session) {
  for (const GenerateRequest& request : requests) {
    try {
      check_request(request, session);
    } catch (const Error& error) {
      if (request.name.empty()) throw;
      throw Error(request.name + ": " + error.what(), error.code());
    }
  }
}

// A sequence of the session and the request that it is working on.
struct Slot {
  size_t request = 0;
  bool busy = false;
  std::vector<int32_t> text;  // prompt and new tokens
  size_t done = 0;            // of text, given to the session
};

class Run {
 public:
  Run(Session& session, std::span<const GenerateRequest> requests, const GenerateControl& control)
      : session_(session),
        requests_(requests),
        control_(control),
        results_(requests.size()),
        waiting_(requests.size()),
        slots_(static_cast<size_t>(session.options().sequences)) {
    // Prompts of like length start together, so that none waits long for another's prefill; the
    // longest go first, so that the last slots to finish have little left to do.
    std::iota(waiting_.begin(), waiting_.end(), size_t{0});
    std::stable_sort(waiting_.begin(), waiting_.end(), [&](size_t a, size_t b) {
      return requests_[a].ids.size() > requests_[b].ids.size();
    });
  }

  std::vector<GenerateResult> run() {
    fill_slots();
    while (any_busy()) {
      if (cancelled()) {
        cancel_all();
        break;
      }
      const Step step = ahead_ ? *std::exchange(ahead_, std::nullopt) : start_step();
      if (may_run_ahead(step)) ahead_ = start_next(step);
      finish_step(step);
      fill_slots();
    }
    return std::move(results_);
  }

  ~Run() {
    if (!ahead_) return;
    try {
      session_.finish_draws();  // what nobody waits for any more
    } catch (...) {             // nor for what went wrong with it
    }
  }

 private:
  bool any_busy() const {
    return std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.busy; });
  }

  // Ranks that share a model stop at the same step.
  bool cancelled() const {
    return control_.cancel && on_any_rank(session_.options().ranks, control_.cancel->load());
  }

  void fill_slots() {
    for (size_t i = 0; i < slots_.size(); ++i) {
      while (!slots_[i].busy && next_ < waiting_.size()) start(i, waiting_[next_++]);
    }
  }

  void start(size_t slot, size_t request) {
    if (requests_[request].max_new <= 0) return;  // an empty result
    const size_t done = shared_with_known(requests_[request], slot);
    if (done == 0) session_.reset(static_cast<int32_t>(slot));
    slots_[slot] = {.request = request, .busy = true, .text = requests_[request].ids, .done = done};
  }

  // Tokens at the prompt's beginning that the sequence has, but for the one whose logits are
  // wanted. Where frequencies depend on the length, a longer text turns all its keys anew.
  size_t shared_with_known(const GenerateRequest& request, size_t slot) const {
    if (slots_.size() > 1 || session_.model().spec.rope.scaling == RopeScaling::kDynamic) return 0;
    const auto length = static_cast<size_t>(session_.length(static_cast<int32_t>(slot)));
    const size_t most = std::min({length, request.known.size(), request.ids.size() - 1});
    const auto end = request.ids.begin() + static_cast<ptrdiff_t>(most);
    return static_cast<size_t>(
        std::mismatch(request.ids.begin(), end, request.known.begin()).first - request.ids.begin());
  }

  void cancel_all() {
    for (Slot& slot : slots_) {
      if (slot.busy) finish(slot, Finish::kCancelled);
    }
    for (; next_ < waiting_.size(); ++next_) {
      results_[waiting_[next_]].finish = Finish::kCancelled;
    }
  }

  // A step that the session has been given: for each row of logits its slot, and whose text it was.
  struct Step {
    struct Row {
      size_t slot, request;
    };
    std::vector<StepToken> tokens;
    std::vector<Row> rows;
    int64_t prompt_tokens = 0;
  };

  // For each busy slot what the session has not seen yet.
  Step start_step() {
    Step step;
    for (size_t i = 0; i < slots_.size(); ++i) {
      Slot& slot = slots_[i];
      if (!slot.busy) continue;
      if (slot.text.size() == requests_[slot.request].ids.size()) {
        step.prompt_tokens += static_cast<int64_t>(slot.text.size() - slot.done);
      }
      for (; slot.done < slot.text.size(); ++slot.done) {
        add_token(step, i, slot.text[slot.done], slot.done + 1 == slot.text.size());
      }
    }
    give(step);
    return step;
  }

  // For each slot the token that `step` draws, which is not known yet. Those that end with it are
  // left out; where a text ends otherwise (an end token, a stop string), what the step makes of it
  // is thrown away.
  Step start_next(const Step& step) {
    Step next;
    for (size_t row = 0; row < step.rows.size(); ++row) {
      Slot& slot = slots_[step.rows[row].slot];
      if (!continues(slot)) continue;
      add_token(next, step.rows[row].slot, drawn_by(row), true);
      ++slot.done;
    }
    give(next);
    return next;
  }

  void add_token(Step& step, size_t slot, int32_t id, bool wants_logits) const {
    step.tokens.push_back({.id = id,
                           .sequence = static_cast<int32_t>(slot),
                           .position = static_cast<int32_t>(slots_[slot].done),
                           .wants_logits = wants_logits});
    if (wants_logits) step.rows.push_back({slot, slots_[slot].request});
  }

  void give(const Step& step) {
    std::vector<Draw> draws;
    bool log_probabilities = false;
    for (const Step::Row& row : step.rows) {
      const GenerateRequest& request = requests_[row.request];
      const Slot& slot = slots_[row.slot];
      draws.push_back({.options = &request.sampler,
                       .position = slot.done,
                       .seen = penalised_ids(request.sampler, slot.text)});
      log_probabilities = log_probabilities || request.log_probabilities;
    }
    session_.start_draws(step.tokens, {.rows = draws, .log_probabilities = log_probabilities});
  }

  // True where the text goes on after the token that is being drawn, unless that token ends it.
  bool continues(const Slot& slot) const {
    const auto made = static_cast<int64_t>(results_[slot.request].ids.size());
    return made + 1 < requests_[slot.request].max_new &&
           static_cast<int64_t>(slot.text.size()) < session_.context();
  }

  // The next step may be given before this one is done where it has no prompt in it, no draw that
  // depends on the token that is not known yet, and this one is not run in several parts.
  bool may_run_ahead(const Step& step) const {
    const auto tokens = static_cast<int64_t>(step.tokens.size());
    if (!session_.runs_ahead() || tokens > session_.options().max_batch_tokens) return false;
    bool any = false;
    size_t rows = 0;
    for (const Slot& slot : slots_) {
      if (!slot.busy) continue;
      any = any || continues(slot);
      if (requests_[slot.request].sampler.repetition_penalty != 1.0) return false;
    }
    for (const Step::Row& row : step.rows) rows += is_of(row, slots_[row.slot]);
    return any && rows == step.rows.size() &&
           rows == static_cast<size_t>(std::count_if(slots_.begin(), slots_.end(),
                                                     [](const Slot& slot) { return slot.busy; }));
  }

  // False where the row's text has ended since, or the slot has taken another.
  static bool is_of(const Step::Row& row, const Slot& slot) {
    return slot.busy && slot.request == row.request;
  }

  void finish_step(const Step& step) {
    const std::span<const Sampled> drawn = session_.finish_draws();
    int64_t made = 0;
    for (size_t row = 0; row < step.rows.size(); ++row) {
      Slot& slot = slots_[step.rows[row].slot];
      if (!is_of(step.rows[row], slot)) continue;
      take_token(step.rows[row].slot, drawn[row]);
      ++made;
    }
    const Clock::time_point now = Clock::now();
    count(step.prompt_tokens, made, std::chrono::duration<double>(now - finished_).count());
    finished_ = now;
  }

  // The slot's text once more, to say what is wrong with its logits.
  [[noreturn]] void refuse_logits(size_t slot) {
    const std::vector<int32_t>& text = slots_[slot].text;
    session_.reset(static_cast<int32_t>(slot));
    slots_[slot].done = 0;
    Step step;
    for (; slots_[slot].done < text.size(); ++slots_[slot].done) {
      add_token(step, slot, text[slots_[slot].done], slots_[slot].done + 1 == text.size());
    }
    check_logits(session_.step(step.tokens), text.size());
    throw Error("the logits at position " + std::to_string(text.size()) +
                " are not finite numbers, but not every time");
  }

  void take_token(size_t index, const Sampled& sampled) {
    const int32_t id = sampled.id;
    if (id < 0) refuse_logits(index);
    Slot& slot = slots_[index];
    const GenerateRequest& request = requests_[slot.request];
    GenerateResult& result = results_[slot.request];
    if (result.ids.empty()) result.first_token_seconds = seconds_since(start_);
    const auto& stops = request.stop_ids;
    if (std::find(stops.begin(), stops.end(), id) != stops.end()) {
      return finish(slot, Finish::kStop);
    }
    result.ids.push_back(id);
    if (request.log_probabilities) {
      result.log_probabilities.push_back(log_probability(sampled));
    }
    slot.text.push_back(id);
    if (control_.on_token && !control_.on_token(slot.request, id)) {
      return finish(slot, Finish::kCaller);
    }
    if (static_cast<int64_t>(result.ids.size()) >= request.max_new) {
      return finish(slot, Finish::kLength);
    }
    if (static_cast<int64_t>(slot.text.size()) > session_.context()) {
      finish(slot, Finish::kContext);
    }
  }

  void finish(Slot& slot, Finish how) {
    results_[slot.request].finish = how;
    results_[slot.request].total_seconds = seconds_since(start_);
    slot.busy = false;
  }

  void count(int64_t prompt_tokens, int64_t made, double seconds) {
    if (!control_.statistics) return;
    GenerateStatistics& total = *control_.statistics;
    total.new_tokens += made;
    total.prompt_tokens += prompt_tokens;
    if (prompt_tokens > 0) {
      total.prefill_seconds += seconds;
    } else {
      ++total.decode_steps;
      total.decode_tokens += made;
      total.decode_seconds += seconds;
    }
  }

  Session& session_;
  std::span<const GenerateRequest> requests_;
  const GenerateControl& control_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point finished_ = start_;  // the last step
  std::optional<Step> ahead_;            // given to the session, and not finished
  std::vector<GenerateResult> results_;
  std::vector<size_t> waiting_;  // requests in the order in which they start
  size_t next_ = 0;              // of waiting_
  std::vector<Slot> slots_;
};

}  // namespace

const char* finish_name(Finish finish) {
  switch (finish) {
    case Finish::kLength:
      return "length";
    case Finish::kContext:
      return "context";
    case Finish::kStop:
      return "stop";
    case Finish::kCaller:
      return "stop-string";
    case Finish::kCancelled:
      return "cancelled";
  }
  return "";
}

std::vector<GenerateResult> generate(Session& session, std::span<const GenerateRequest> requests,
                                     const GenerateControl& control) {
  check_all(requests, session);
  return Run(session, requests, control).run();
}

}  // namespace hone
