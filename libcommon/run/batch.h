// Continuing prompts: one, or many side by side in a session's slots. Prompts of similar length
// start together, a slot whose text is finished takes the next prompt, and every text is the same
// as the one its prompt gives alone.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "libcommon/run/sampler.h"
#include "libcommon/run/session.h"

namespace hone {

struct GenerateRequest {
  std::vector<int32_t> ids;       // the prompt, at least one id
  int64_t max_new = 128;          // tokens at most
  std::vector<int32_t> stop_ids;  // any of them ends the text (and is not part of the result)
  SamplerOptions sampler;
  bool log_probabilities = false;
  std::string name = {};  // "prompt 3" in messages, where there are several
  // What a session of one sequence has been given since its last reset: as much of it as the prompt
  // begins with is not computed again. The text stays the same.
  std::vector<int32_t> known = {};
};

enum class Finish : uint8_t {
  kLength,     // max_new tokens
  kContext,    // the session's context is full
  kStop,       // a stop id
  kCaller,     // the callback said so (a stop string)
  kCancelled,  // the cancellation flag
};
const char* finish_name(Finish finish);  // "length", "context", "stop", "stop-string", "cancelled"

struct GenerateResult {
  std::vector<int32_t> ids;               // new ones only
  std::vector<double> log_probabilities;  // of each, where asked for; of the unmodified logits
  Finish finish = Finish::kLength;
  double first_token_seconds = 0;  // from the call of generate() to the first token
  double total_seconds = 0;        // from the call of generate() to the last
};

struct GenerateStatistics {
  int64_t prompt_tokens = 0;
  int64_t new_tokens = 0;
  int64_t decode_steps = 0;    // steps with no prompt in them
  int64_t decode_tokens = 0;   // tokens made by those
  double prefill_seconds = 0;  // of steps with a prompt in them
  double decode_seconds = 0;   // of the others
};

struct GenerateControl {
  // Called for each new token as it is made; false ends that request's text (this token counts).
  std::function<bool(size_t request, int32_t id)> on_token;
  // Set from a signal handler or another thread: all texts end after the step that is running.
  const std::atomic<bool>* cancel = nullptr;
  GenerateStatistics* statistics = nullptr;
};

// Results in the order of the requests. Throws Error(kUsage) for an empty prompt, ids that the
// model has not, a prompt that does not fit the context (names --ctx) and sampler options out of
// range, before the first step.
std::vector<GenerateResult> generate(Session& session, std::span<const GenerateRequest> requests,
                                     const GenerateControl& control = {});

}  // namespace hone
