#include "libcommon/run/batch.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <string>

#include "libcommon/base/error.h"

namespace hone {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

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
      step();
      fill_slots();
    }
    return std::move(results_);
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
    session_.reset(static_cast<int32_t>(slot));
    slots_[slot] = {.request = request, .busy = true, .text = requests_[request].ids, .done = 0};
  }

  void cancel_all() {
    for (Slot& slot : slots_) {
      if (slot.busy) finish(slot, Finish::kCancelled);
    }
    for (; next_ < waiting_.size(); ++next_) {
      results_[waiting_[next_]].finish = Finish::kCancelled;
    }
  }

  // One step of the session: for each busy slot what it has not seen yet; then a token for each.
  void step() {
    const Clock::time_point begin = Clock::now();
    std::vector<StepToken> tokens;
    int64_t prompt_tokens = 0;
    for (size_t i = 0; i < slots_.size(); ++i) {
      Slot& slot = slots_[i];
      if (!slot.busy) continue;
      if (slot.done == 0) prompt_tokens += static_cast<int64_t>(slot.text.size());
      for (; slot.done < slot.text.size(); ++slot.done) {
        tokens.push_back({.id = slot.text[slot.done],
                          .sequence = static_cast<int32_t>(i),
                          .position = static_cast<int32_t>(slot.done),
                          .wants_logits = slot.done + 1 == slot.text.size()});
      }
    }
    const int64_t made = all_greedy(tokens.size()) ? take_largest(tokens) : take_drawn(tokens);
    count(prompt_tokens, made, seconds_since(begin));
  }

  // Nobody looks at the logits: the backend says which is the largest.
  bool all_greedy(size_t tokens) const {
    if (static_cast<int64_t>(tokens) > session_.options().max_batch_tokens) return false;
    return std::all_of(slots_.begin(), slots_.end(), [&](const Slot& slot) {
      const GenerateRequest& request = requests_[slot.request];
      return !slot.busy || (is_greedy(request.sampler) && !request.log_probabilities);
    });
  }

  int64_t take_largest(std::span<const StepToken> tokens) {
    const std::span<const int32_t> ids = session_.step_greedy(tokens);
    const bool refused = std::any_of(ids.begin(), ids.end(), [](int32_t id) { return id < 0; });
    if (refused) return take_drawn(tokens);  // again, to say what is wrong with the logits
    int64_t made = 0;
    for (Slot& slot : slots_) {
      if (slot.busy) take_token(slot, ids[static_cast<size_t>(made++)], {});
    }
    return made;
  }

  int64_t take_drawn(std::span<const StepToken> tokens) {
    std::span<const float> logits = session_.step(tokens);
    const auto vocab = static_cast<size_t>(session_.vocab());
    int64_t made = 0;
    for (Slot& slot : slots_) {
      if (!slot.busy) continue;
      const std::span<const float> own = logits.first(vocab);
      take_token(slot, sample(own, slot.text, requests_[slot.request].sampler), own);
      logits = logits.subspan(vocab);
      ++made;
    }
    return made;
  }

  void take_token(Slot& slot, int32_t id, std::span<const float> logits) {
    const GenerateRequest& request = requests_[slot.request];
    GenerateResult& result = results_[slot.request];
    if (result.ids.empty()) result.first_token_seconds = seconds_since(start_);
    const auto& stops = request.stop_ids;
    if (std::find(stops.begin(), stops.end(), id) != stops.end()) {
      return finish(slot, Finish::kStop);
    }
    result.ids.push_back(id);
    if (request.log_probabilities) {
      result.log_probabilities.push_back(log_probability(logits, id));
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
  for (const GenerateRequest& request : requests) check_request(request, session);
  return Run(session, requests, control).run();
}

}  // namespace hone
