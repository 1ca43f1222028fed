// The options of hone-generate, each declared once.
#pragma once

#include <string>
#include <vector>

#include "libcommon/cli/tool.h"
#include "libcommon/run/answer.h"

namespace hone {

struct GenerateOptions {
  CommonOptions common;
  std::string model = "-";
  std::string prompt_argument;
  std::string prompt;
  bool prompt_given = false;  // also an empty one
  std::string file;
  std::string token_ids;
  std::string prompts;
  int64_t max_tokens = 256;
  int64_t context = 0;
  int64_t batch = 8;
  int64_t data_parallel = 1;
  double temperature = 0;
  int64_t top_k = 0;
  double top_p = 1;
  double min_p = 0;
  double repetition_penalty = 1;
  int64_t seed = 0;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  bool echo = false;
  bool dump_logits = false;
  bool chat = false;
  std::string system;
  std::string messages;
  std::string chat_template;
  std::string chat_variables;
};

// end_ids: the model's.
inline AnswerOptions answer_options(const GenerateOptions& o, std::vector<int32_t> end_ids) {
  return {.max_tokens = o.max_tokens,
          .sampler = {.temperature = o.temperature,
                      .top_k = o.top_k,
                      .top_p = o.top_p,
                      .min_p = o.min_p,
                      .repetition_penalty = o.repetition_penalty,
                      .seed = static_cast<uint64_t>(o.seed)},
          .stop = o.stop,
          .end_ids = o.ignore_eos ? std::vector<int32_t>() : std::move(end_ids),
          .log_probabilities = o.common.json || !o.prompts.empty()};
}

inline std::vector<OptionDecl> general_options(GenerateOptions& o) {
  return {{"MODEL", "", "Model; - is standard input.", &o.model},
          {"PROMPT", "", "Prompt, like -p.", &o.prompt_argument},
          {"-n,--max-tokens", "N", "New tokens at most (256).", &o.max_tokens},
          {"--ctx", "N", "Positions kept for a text; 0: what the model was made for.", &o.context},
          {.flags = "--dump-logits",
           .value = "",
           .help = "With --json: add the logits after the prompt.",
           .target = &o.dump_logits,
           .needs = "--json",
           .without = {"--prompts"}}};
}

inline std::vector<OptionDecl> prompt_options(GenerateOptions& o) {
  return {{.flags = "-p,--prompt",
           .value = "TEXT",
           .help = "Prompt; an empty one begins a text.",
           .target = &o.prompt,
           .given = &o.prompt_given},
          {"-f,--file", "FILE", "Prompt from a file.", &o.file},
          {"--token-ids", "IDS", "Prompt as token ids, 1,2,3; new ids are written, not text.",
           &o.token_ids},
          {"--prompts", "FILE",
           "Many prompts, a JSON object a line: {\"prompt\": TEXT} or "
           "{\"token_ids\": [..]} or {\"messages\": [..]}, optionally id, max_tokens, temperature, "
           "seed, stop. Decoded "
           "together; one JSON object a line comes out, in order.",
           &o.prompts},
          {.flags = "--batch",
           .value = "N",
           .help = "With --prompts: texts decoded side by side.",
           .target = &o.batch,
           .least = 1,
           .needs = "--prompts"},
          {.flags = "--data-parallel",
           .value = "N",
           .help = "With --prompts, started by mpirun -n N: every rank has the whole model and "
                   "answers a share of the prompts.",
           .target = &o.data_parallel,
           .least = 1},
          {.flags = "--echo",
           .value = "",
           .help = "Write the prompt before its continuation.",
           .target = &o.echo,
           .without = {"--json", "--prompts", "--token-ids"}}};
}

inline std::vector<OptionDecl> chat_options(GenerateOptions& o) {
  return {
      {.flags = "--chat",
       .value = "",
       .help = "The prompt is said to a model that was trained to answer: its chat template "
               "makes the text to continue. On a terminal, line by line, the conversation is "
               "kept.",
       .target = &o.chat,
       .without = {"--token-ids"}},
      {"--system", "TEXT", "What the model is told first, as the system.", &o.system},
      {.flags = "--messages",
       .value = "FILE",
       .help = "A conversation to go on with: [{\"role\": \"user\", \"content\": TEXT}, ...]; "
               "- is standard input.",
       .target = &o.messages},
      {"--chat-template", "FILE", "A Jinja template in place of the model's.", &o.chat_template},
      {"--chat-variables", "JSON",
       "What the template may ask for beside messages, as {\"enable_thinking\": false}.",
       &o.chat_variables}};
}

inline std::vector<OptionDecl> sampling_options(GenerateOptions& o) {
  return {
      {"--temperature", "T", "0 (the default) always takes the likeliest token.", &o.temperature},
      {"--top-k", "K", "Draw from the K likeliest; 0: all.", &o.top_k},
      {"--top-p", "P", "Draw from the likeliest that have probability P together.", &o.top_p},
      {"--min-p", "P", "Leave out what is less than P times as likely as the likeliest.", &o.min_p},
      {"--repetition-penalty", "R", "Make tokens that were there less likely; 1: off.",
       &o.repetition_penalty},
      {"--seed", "N", "Same seed, same text.", &o.seed},
      {"--stop", "TEXT", "End before this text.", &o.stop},
      {"--ignore-eos", "", "Go on past the model's end token.", &o.ignore_eos}};
}

inline ToolDecl declare_generate(GenerateOptions& o, std::function<ExitCode()> run) {
  return {
      .name = "hone-generate",
      .summary = "continue a text with a language model",
      .description =
          "Reads a model from a path (a Hugging Face directory, .safetensors, GGUF, random:SHAPE) "
          "or "
          "from standard input, and writes the continuation of a prompt to standard output as it "
          "is "
          "made; everything else goes to standard error. Without a prompt, and with the model from "
          "a path, standard input is the prompt; on a terminal it asks line by line.",
      .options = joined(
          {general_options(o),
           grouped("Prompt", prompt_options(o)),
           grouped("Chat", chat_options(o)),
           grouped("Sampling", sampling_options(o)),
           compute_options(o.common),
           session_options(o.common),
           {tensor_parallel_option(o.common), json_option(o.common), verbose_option(o.common)}}),
      .examples = {{"hone-generate model/ -p 'Once upon a time'", "Continues the text."},
                   {"hone-quantize model/ --scheme w4a16 | hone-generate -p Hello -v",
                    "Runs a model as it comes out of the quantizer, and says how fast."},
                   {"hone-generate model/ --chat -p 'Why is the sky blue?'",
                    "Asks a model that was trained to answer; without -p, talks with it."},
                   {"hone-generate model.gguf --prompts questions.jsonl > answers.jsonl",
                    "Answers many prompts."},
                   {"hone-generate model/ --gpu-layers 20 -p Hello -v",
                    "The last 20 layers on a GPU that cannot hold all, the others on the CPU."},
                   {"mpirun -n 2 hone-generate model/ --tensor-parallel 2 -p Hello",
                    "Computes with two processes, each with half of every layer."}},
      .run = std::move(run)};
}

}  // namespace hone
