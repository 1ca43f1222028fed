#include "libcommon/run/answer.h"

#include <algorithm>
#include <memory>

#include "libcommon/base/error.h"

namespace hone {
namespace {

std::vector<int32_t> prompt_ids(const Prompt& prompt, const Tokenizer* tokenizer) {
  if (!prompt.token_ids.empty()) return prompt.token_ids;
  if (tokenizer == nullptr) throw usage_error("this model has no tokenizer; use --token-ids");
  return tokenizer->encode(prompt.text, prompt.special_tokens);
}

GenerateRequest request_for(const Prompt& prompt, const Tokenizer* tokenizer,
                            const AnswerOptions& options) {
  GenerateRequest request{.ids = prompt_ids(prompt, tokenizer),
                          .max_new = prompt.max_tokens.value_or(options.max_tokens),
                          .stop_ids = options.end_ids,
                          .sampler = options.sampler,
                          .log_probabilities = options.log_probabilities,
                          .known = prompt.known};
  if (prompt.temperature) request.sampler.temperature = *prompt.temperature;
  if (prompt.seed) request.sampler.seed = *prompt.seed;
  if (!prompt.id.is_null()) request.name = "prompt " + prompt.id.dump();
  return request;
}

// Where only ids are known, no text can be looked for.
void check_stop(const Tokenizer* tokenizer, const std::vector<Prompt>& prompts,
                const AnswerOptions& options) {
  const auto stops = [](const Prompt& prompt) { return !prompt.stop.empty(); };
  if (tokenizer != nullptr || (options.stop.empty() && std::ranges::none_of(prompts, stops))) {
    return;
  }
  throw usage_error("--stop: this model has no tokenizer, so its text is not known");
}

// The text side of one prompt while it is being answered.
struct Writer {
  std::unique_ptr<TextStream> stream;  // null without a tokenizer
  std::string text;
};

// New text of prompt `index` goes to the answer and to the caller.
void deliver(Writer& writer, size_t index, const std::string& text, const AnswerControl& control) {
  if (text.empty()) return;
  writer.text += text;
  if (control.on_text) control.on_text(index, text);
}

}  // namespace

std::vector<Answer> answer(Session& session, const Tokenizer* tokenizer,
                           const std::vector<Prompt>& prompts, const AnswerOptions& options,
                           const AnswerControl& control) {
  check_stop(tokenizer, prompts, options);
  std::vector<GenerateRequest> requests;
  std::vector<Writer> writers(prompts.size());
  for (size_t i = 0; i < prompts.size(); ++i) {
    requests.push_back(request_for(prompts[i], tokenizer, options));
    if (tokenizer == nullptr) continue;
    const auto& stop = prompts[i].stop.empty() ? options.stop : prompts[i].stop;
    writers[i].stream = std::make_unique<TextStream>(*tokenizer, requests[i].ids, stop);
  }
  const auto on_token = [&](size_t i, int32_t id) {
    if (control.on_token) control.on_token(i, id);
    if (writers[i].stream == nullptr) return true;
    deliver(writers[i], i, writers[i].stream->push(id), control);
    return !writers[i].stream->stopped();
  };
  std::vector<GenerateResult> results =
      generate(session, requests,
               {.on_token = on_token, .cancel = control.cancel, .statistics = control.statistics});
  std::vector<Answer> answers;
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (writers[i].stream) deliver(writers[i], i, writers[i].stream->flush(), control);
    answers.push_back({.prompt_ids = std::move(requests[i].ids),
                       .text = std::move(writers[i].text),
                       .finish_reason = finish_name(results[i].finish),
                       .result = std::move(results[i])});
  }
  return answers;
}

}  // namespace hone
