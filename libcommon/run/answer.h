// Prompts in, texts out: tokenizer, generation and stop strings joined. What hone-generate shows.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "libcommon/run/batch.h"
#include "libcommon/run/prompts.h"
#include "libcommon/run/text_stream.h"
#include "libcommon/text/tokenizer.h"

namespace hone {

struct AnswerOptions {
  int64_t max_tokens = 256;
  SamplerOptions sampler;
  std::vector<std::string> stop;
  std::vector<int32_t> end_ids;  // tokens that end a text
  bool log_probabilities = false;
};

struct Answer {
  std::vector<int32_t> prompt_ids;
  std::string text;  // "" without a tokenizer
  std::string finish_reason;
  GenerateResult result;
};

struct AnswerControl {
  // Called as text (with a tokenizer) or a token (without) becomes final.
  std::function<void(size_t prompt, const std::string& text)> on_text;
  std::function<void(size_t prompt, int32_t id)> on_token;
  const std::atomic<bool>* cancel = nullptr;
  GenerateStatistics* statistics = nullptr;
};

// tokenizer may be null where every prompt has token_ids. What a prompt leaves out comes from
// options. A prompt draws by its own seed and position alone, so its answer is the same alone or
// among others.
std::vector<Answer> answer(Session& session, const Tokenizer* tokenizer,
                           const std::vector<Prompt>& prompts, const AnswerOptions& options,
                           const AnswerControl& control);

}  // namespace hone
