// The options of hone-benchmark, each declared once.
#pragma once

#include <string>
#include <vector>

#include "libcommon/bench/baseline.h"
#include "libcommon/cli/tool.h"
#include "libcommon/quant/scheme.h"

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

// Refuses what contradicts itself or does not parse, before any work.
inline void check_benchmark_options(const BenchmarkOptions& o) {
  if (o.common.json + o.csv + o.markdown > 1) {
    throw usage_error("give one of --json, --csv and --md");
  }
  if (o.no_speed && (o.csv || o.markdown)) {
    throw usage_error("--csv and --md write speed results, --no-speed measures none");
  }
  if (o.text.empty() && !o.against.empty()) {
    throw usage_error("--against needs a --text to compare on");
  }
  parse_share(o.max_slowdown, "--max-slowdown");
}

inline ToolDecl declare_benchmark(BenchmarkOptions& o, std::function<ExitCode()> run) {
  const std::string speed = "Speed";
  const std::string quality = "Quality";
  const std::string output = "Output";
  ToolDecl tool{
      .name = "hone-benchmark",
      .summary = "measure how fast and how good a model is",
      .description =
          "Measures prefill and decode (warm-up until the times settle, then medians with 95 % "
          "bootstrap intervals, several models in turns), against the read bandwidth and the "
          "multiply-add peak measured in the same run; perplexity of a text; the distance between "
          "two models' predictions. With a baseline it exits 1 on a regression.",
      .options =
          {{"MODEL", "", "Models; - is standard input.", &o.models},
           {.flags = "--scheme",
            .value = "NAME",
            .help = "Quantize the models first, in memory, as hone-quantize --scheme does.",
            .target = &o.scheme,
            .choices = scheme_names()},
           {"--prefill",
            "LIST",
            "Prompt lengths, 128,512; none: no such test.",
            &o.prefill,
            {},
            false,
            speed},
           {"--decode",
            "LIST",
            "Numbers of decoded tokens; none: no such test.",
            &o.decode,
            {},
            false,
            speed},
           {"--depth", "LIST", "Positions already in the cache.", &o.depth, {}, false, speed},
           {"--batch", "LIST", "Sequences side by side.", &o.batch, {}, false, speed},
           {"--threads",
            "LIST",
            "Threads; 0: the physical cores this process may use.",
            &o.threads,
            {},
            false,
            speed},
           {"--ctx",
            "N",
            "Positions a sequence may have; 0: what the model was made for.",
            &o.positions,
            {},
            false,
            speed},
           {"--repetitions",
            "N",
            "Samples of each test (7).",
            &o.repetitions,
            {},
            false,
            speed,
            true,
            1},
           {"--no-speed", "", "No speed tests.", &o.no_speed, {}, false, speed},
           {"--machine", "", "Only measure the machine.", &o.machine, {}, false, speed},
           {"--text", "FILE", "Perplexity of this text.", &o.text, {}, false, quality},
           {"--split",
            "MARK",
            "Documents in the text are separated by this; each is one sequence, begin token first.",
            &o.split,
            {},
            false,
            quality},
           {"--context",
            "N",
            "Tokens of a window; 0: 2048, or what the model has.",
            &o.context,
            {},
            false,
            quality},
           {"--stride",
            "N",
            "Step between windows; 0: the context, so that windows do not overlap (the protocol of "
            "the WikiText figures in papers).",
            &o.stride,
            {},
            false,
            quality},
           {"--max-windows",
            "N",
            "Only the first N windows; 0: all.",
            &o.max_windows,
            {},
            false,
            quality},
           {"--against",
            "MODEL",
            "Compare predictions with this model's on the text: KL divergence, share of equal "
            "likeliest tokens, perplexity difference.",
            &o.against,
            {},
            false,
            quality},
           {"--csv", "", "Write the speed results as CSV.", &o.csv, {}, false, output},
           {"--md",
            "",
            "Write the speed results as a Markdown table.",
            &o.markdown,
            {},
            false,
            output},
           {"--baseline",
            "FILE",
            "Compare with an earlier run's --json.",
            &o.baseline,
            {},
            false,
            output},
           {"--max-slowdown",
            "SHARE",
            "Slowdown against the baseline that is allowed (5%).",
            &o.max_slowdown,
            {},
            false,
            output}},
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
  for (OptionDecl& option : compute_options(o.common)) {
    if (option.flags != "--threads") tool.options.push_back(std::move(option));
  }
  for (OptionDecl& option : session_options(o.common)) tool.options.push_back(std::move(option));
  tool.options.push_back(tensor_parallel_option(o.common));
  tool.options.push_back(json_option(o.common));
  tool.options.push_back(verbose_option(o.common));
  return tool;
}

}  // namespace hone
