// The options of hone-generate, each declared once.
#pragma once

#include <string>
#include <vector>

#include "libcommon/cli/tool.h"

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
};

inline ToolDecl declare_generate(GenerateOptions& o, std::function<ExitCode()> run) {
  const std::string prompts = "Prompt";
  const std::string sampling = "Sampling";
  ToolDecl tool{
      .name = "hone-generate",
      .summary = "continue a text with a language model",
      .description =
          "Reads a model from a path (a Hugging Face directory, .safetensors, GGUF, random:SHAPE) "
          "or "
          "from standard input, and writes the continuation of a prompt to standard output as it "
          "is "
          "made; everything else goes to standard error. Without a prompt, and with the model from "
          "a path, standard input is the prompt; on a terminal it asks line by line.",
      .options =
          {{"MODEL", "", "Model; - is standard input.", &o.model},
           {"PROMPT", "", "Prompt, like -p.", &o.prompt_argument},
           {.flags = "-p,--prompt",
            .value = "TEXT",
            .help = "Prompt; an empty one begins a text.",
            .target = &o.prompt,
            .group = prompts,
            .given = &o.prompt_given},
           {"-f,--file", "FILE", "Prompt from a file.", &o.file, {}, false, prompts},
           {"--token-ids",
            "IDS",
            "Prompt as token ids, 1,2,3; new ids are written, not text.",
            &o.token_ids,
            {},
            false,
            prompts},
           {"--prompts",
            "FILE",
            "Many prompts, a JSON object a line: {\"prompt\": TEXT} or "
            "{\"token_ids\": [..]}, optionally id, max_tokens, temperature, seed, stop. Decoded "
            "together; one JSON object a line comes out, in order.",
            &o.prompts,
            {},
            false,
            prompts},
           {"--batch",
            "N",
            "With --prompts: texts decoded side by side.",
            &o.batch,
            {},
            false,
            prompts,
            true,
            1},
           {"--data-parallel",
            "N",
            "With --prompts, started by mpirun -n N: every rank has the whole model and answers a "
            "share of the prompts.",
            &o.data_parallel,
            {},
            false,
            prompts,
            true,
            1},
           {"--echo", "", "Write the prompt before its continuation.", &o.echo, {}, false, prompts},
           {"-n,--max-tokens", "N", "New tokens at most (256).", &o.max_tokens},
           {"--ctx", "N", "Positions kept for a text; 0: what the model was made for.", &o.context},
           {"--temperature",
            "T",
            "0 (the default) always takes the likeliest token.",
            &o.temperature,
            {},
            false,
            sampling},
           {"--top-k", "K", "Draw from the K likeliest; 0: all.", &o.top_k, {}, false, sampling},
           {"--top-p",
            "P",
            "Draw from the likeliest that have probability P together.",
            &o.top_p,
            {},
            false,
            sampling},
           {"--min-p",
            "P",
            "Leave out what is less than P times as likely as the likeliest.",
            &o.min_p,
            {},
            false,
            sampling},
           {"--repetition-penalty",
            "R",
            "Make tokens that were there less likely; 1: off.",
            &o.repetition_penalty,
            {},
            false,
            sampling},
           {"--seed", "N", "Same seed, same text.", &o.seed, {}, false, sampling},
           {"--stop", "TEXT", "End before this text.", &o.stop, {}, false, sampling},
           {"--ignore-eos",
            "",
            "Go on past the model's end token.",
            &o.ignore_eos,
            {},
            false,
            sampling},
           {"--dump-logits", "", "With --json: add the logits after the prompt.", &o.dump_logits}},
      .examples = {{"hone-generate model/ -p 'Once upon a time'", "Continues the text."},
                   {"hone-quantize model/ --scheme w4a16 | hone-generate -p Hello -v",
                    "Runs a model as it comes out of the quantizer, and says how fast."},
                   {"hone-generate model.gguf --prompts questions.jsonl > answers.jsonl",
                    "Answers many prompts."},
                   {"hone-generate model/ --gpu-layers 20 -p Hello -v",
                    "The last 20 layers on a GPU that cannot hold all, the others on the CPU."},
                   {"mpirun -n 2 hone-generate model/ --tensor-parallel 2 -p Hello",
                    "Computes with two processes, each with half of every layer."}},
      .run = std::move(run)};
  for (OptionDecl& option : compute_options(o.common)) tool.options.push_back(std::move(option));
  for (OptionDecl& option : session_options(o.common)) tool.options.push_back(std::move(option));
  tool.options.push_back(tensor_parallel_option(o.common));
  tool.options.push_back(json_option(o.common));
  tool.options.push_back(verbose_option(o.common));
  return tool;
}

}  // namespace hone
