// The options of hone-benchmark, each declared once.
#pragma once

#include <string>
#include <vector>

#include "libcommon/bench/baseline.h"
#include "libcommon/cli/tool.h"
#include "libcommon/quant/scheme.h"
#include "libcommon/run/prompts.h"

namespace hone {

struct BenchmarkOptions {
  CommonOptions common;
  std::vector<std::string> models;
  std::string scheme;
  std::string prefill = "128";
  std::string decode = "32";
  std::string depth = "0";
  std::string batch = "1";
  std::string threads = "0";
  int64_t positions = 0;
  int64_t repetitions = 7;
  std::string text;
  std::string split;
  int64_t context = 0;
  int64_t stride = 0;
  int64_t max_windows = 0;
  std::string against;
  bool csv = false;
  bool markdown = false;
  std::string baseline;
  std::string max_slowdown = "5%";
  bool machine = false;
  bool no_speed = false;
};

// "128,512" -> numbers of at least `least`; "none" -> no number.
inline std::vector<int64_t> numbers(const std::string& list, const std::string& option,
                                    int64_t least) {
  if (list == "none" || list.empty()) return {};
  std::vector<int64_t> values;
  for (int32_t value : parse_token_ids(list, option)) {
    if (value < least) {
      throw usage_error(option + " " + list + ": " + std::to_string(least) + " is the least");
    }
    values.push_back(value);
  }
  return values;
}

// Refuses what contradicts itself or does not parse, before any work.
inline void check_benchmark_options(const BenchmarkOptions& o) {
  if (o.common.json + o.csv + o.markdown > 1) {
    throw usage_error("give one of --json, --csv and --md");
  }
  parse_share(o.max_slowdown, "--max-slowdown");
}

inline std::vector<OptionDecl> subject_options(BenchmarkOptions& o) {
  return {{"MODEL", "", "Models; - is standard input.", &o.models},
          {.flags = "--scheme",
           .value = "NAME",
           .help = "Quantize the models first, in memory, as hone-quantize --scheme does.",
           .target = &o.scheme,
           .choices = scheme_names()}};
}

inline std::vector<OptionDecl> speed_options(BenchmarkOptions& o) {
  return {{"--prefill", "LIST", "Prompt lengths, 128,512; none: no such test.", &o.prefill},
          {"--decode", "LIST", "Numbers of decoded tokens; none: no such test.", &o.decode},
          {"--depth", "LIST", "Positions already in the cache.", &o.depth},
          {"--batch", "LIST", "Sequences side by side.", &o.batch},
          {"--threads", "LIST", "Threads; 0: the physical cores this process may use.", &o.threads},
          {"--ctx", "N", "Positions a sequence may have; 0: what the model was made for.",
           &o.positions},
          {.flags = "--repetitions",
           .value = "N",
           .help = "Samples of each test (7).",
           .target = &o.repetitions,
           .least = 1},
          {.flags = "--no-speed",
           .value = "",
           .help = "No speed tests.",
           .target = &o.no_speed,
           .without = {"--prefill", "--decode", "--depth", "--batch", "--repetitions", "--baseline",
                       "--csv", "--md"}},
          {.flags = "--machine",
           .value = "",
           .help = "Only measure the machine.",
           .target = &o.machine,
           .without = {"MODEL", "--scheme", "--text", "--no-speed", "--baseline"}}};
}

inline std::vector<OptionDecl> quality_options(BenchmarkOptions& o) {
  std::vector<OptionDecl> options = {
      {"--text", "FILE", "Perplexity of this text.", &o.text},
      {"--split", "MARK",
       "Documents in the text are separated by this; each is one sequence, begin token first.",
       &o.split},
      {"--context", "N", "Tokens of a window; 0: 2048, or what the model has.", &o.context},
      {"--stride", "N",
       "Step between windows; 0: the context, so that windows do not overlap (the protocol of the "
       "WikiText figures in papers).",
       &o.stride},
      {"--max-windows", "N", "Only the first N windows; 0: all.", &o.max_windows},
      {"--against", "MODEL",
       "Compare predictions with this model's on the text: KL divergence, share of equal likeliest "
       "tokens, perplexity difference.",
       &o.against}};
  for (size_t i = 1; i < options.size(); ++i) options[i].needs = "--text";
  return options;
}

inline std::vector<OptionDecl> output_options(BenchmarkOptions& o) {
  return {{"--csv", "", "Write the speed results as CSV.", &o.csv},
          {"--md", "", "Write the speed results as a Markdown table.", &o.markdown},
          {"--baseline", "FILE", "Compare with an earlier run's --json.", &o.baseline},
          {.flags = "--max-slowdown",
           .value = "SHARE",
           .help = "Slowdown against the baseline that is allowed (5%).",
           .target = &o.max_slowdown,
           .needs = "--baseline"}};
}

// Without --threads, which is a list here.
inline std::vector<OptionDecl> device_options(BenchmarkOptions& o) {
  std::vector<OptionDecl> options = compute_options(o.common);
  std::erase_if(options, [](const OptionDecl& option) { return option.flags == "--threads"; });
  return options;
}

inline ToolDecl declare_benchmark(BenchmarkOptions& o, std::function<ExitCode()> run) {
  return {
      .name = "hone-benchmark",
      .summary = "measure how fast and how good a model is",
      .description =
          "Measures prefill and decode (warm-up until the times settle, then medians with 95 % "
          "bootstrap intervals, several models in turns), against the read bandwidth and the "
          "multiply-add peak measured in the same run; perplexity of a text; the distance between "
          "two models' predictions. With a baseline it exits 1 on a regression.",
      .options = joined(
          {subject_options(o),
           grouped("Speed", speed_options(o)),
           grouped("Quality", quality_options(o)),
           grouped("Output", output_options(o)),
           device_options(o),
           session_options(o.common),
           {tensor_parallel_option(o.common), json_option(o.common), verbose_option(o.common)}}),
      .examples = {{"hone-benchmark model/ --text wiki.test.raw",
                    "Speed, and perplexity on WikiText."},
                   {"hone-quantize model/ --scheme w4a16 -o small/ && hone-benchmark model/ small/ "
                    "--text t.txt",
                    "Dense against compressed, in turns."},
                   {"hone-benchmark random:tinyllama-1.1b --scheme w4a16",
                    "The speed of four bits a weight, without a download."},
                   {"hone-benchmark random:tinyllama-1.1b --json > base.json",
                    "A baseline for hone-benchmark random:tinyllama-1.1b --baseline base.json."}},
      .run = std::move(run)};
}

}  // namespace hone
