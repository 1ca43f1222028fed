// Options that mean the same in every tool, and the reading of their values.
#include <cmath>
#include <cstdlib>

#include "libcommon/cli/tool.h"

namespace hone {

std::vector<std::string> split_flags(const OptionDecl& option) {
  std::vector<std::string> flags;
  size_t begin = 0;
  while (begin <= option.flags.size()) {
    const size_t comma = std::min(option.flags.find(',', begin), option.flags.size());
    flags.push_back(option.flags.substr(begin, comma - begin));
    begin = comma + 1;
  }
  return flags;
}

bool is_positional(const OptionDecl& option) { return option.flags.front() != '-'; }
bool is_switch(const OptionDecl& option) { return std::holds_alternative<bool*>(option.target); }
bool is_repeatable(const OptionDecl& option) {
  return std::holds_alternative<std::vector<std::string>*>(option.target);
}

std::vector<OptionDecl> grouped(const std::string& group, std::vector<OptionDecl> options) {
  for (OptionDecl& option : options) option.group = group;
  return options;
}

std::vector<OptionDecl> joined(const std::vector<std::vector<OptionDecl>>& lists) {
  std::vector<OptionDecl> all;
  for (const std::vector<OptionDecl>& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

std::vector<OptionDecl> resource_options(CommonOptions& common) {
  return {
      {.flags = "--threads",
       .value = "N",
       .help = "Threads; 0: the physical cores this process may use. The result has the same bytes "
               "for any number.",
       .target = &common.threads,
       .in_history = false},
      {.flags = "--max-memory",
       .value = "SIZE",
       .help = "Refuse work that needs more memory than this (8G, 500M); says how much it needs.",
       .target = &common.max_memory,
       .in_history = false},
  };
}

std::vector<OptionDecl> compute_options(CommonOptions& common) {
  std::vector<OptionDecl> options = resource_options(common);
  options.insert(
      options.begin(),
      OptionDecl{
          .flags = "--device",
          .value = "NAME",
          .help =
              "Where to compute: auto (a GPU where the model fits one, else the CPU), cpu, cuda or "
              "cuda:N (NVIDIA GPU N), ref (plain loops in double precision, slow; the reference "
              "for tests).",
          .target = &common.device,
          .choices = {"auto", "cpu", "cuda", "ref"},
          .in_history = false,
          .other_choices = true});
  return options;
}

OptionDecl model_option(std::string& model, const std::string& verb) {
  return {.flags = "MODEL",
          .value = "",
          .help = "Model to " + verb +
                  ": a Hugging Face directory, a .safetensors or GGUF file, random:SHAPE, or - for "
                  "standard input, the default.",
          .target = &model};
}

OptionDecl output_option(std::string& output) {
  return {.flags = "-o,--output",
          .value = "OUT",
          .help =
              "Where to: DIR for a Hugging Face directory, x.gguf, x.safetensors, or - for a "
              "stream on standard output, the default.",
          .target = &output,
          .in_history = false};
}

OptionDecl shard_size_option(std::string& size) {
  return {.flags = "--shard-size",
          .value = "SIZE",
          .help = "Largest file of a Hugging Face directory. Default: 5GB.",
          .target = &size,
          .in_history = false};
}

std::vector<OptionDecl> session_options(CommonOptions& common) {
  return {
      {.flags = "--gpu-layers",
       .value = "N",
       .help =
           "For a model that does not fit the GPU: its last N layers and the head run there, the "
           "rest on the CPU. 0: all on the CPU; as many as the model has, or more: all on the "
           "GPU.",
       .target = &common.gpu_layers,
       .in_history = false,
       .given = &common.gpu_layers_given},
      {.flags = "--compute",
       .value = "KIND",
       .help =
           "Arithmetic of weights stored in 8 bits or fewer: int8 rounds activations to "
           "int8, a scale for every 32 to 128 of them, and is several times faster; f32 "
           "does not; auto is int8, but f32 with --device ref. bf16 is auto and, for weights "
           "stored in bf16, rounds activations to bf16, which speeds up the prefill on "
           "processors with AVX512-BF16 (Zen 4: nearly twice as fast) or AMX (five times); on a "
           "GPU it is auto.",
       .target = &common.compute,
       .choices = {"auto", "f32", "int8", "bf16"}},
      {.flags = "--kv-type",
       .value = "TYPE",
       .help =
           "Element type of cached keys and values: f32 is exact; f16 and bf16 take half of the "
           "memory and of the reading at long contexts, int8 a quarter; auto is f32, or f16 "
           "where a GPU computes, if only some layers.",
       .target = &common.kv_type,
       .choices = {"auto", "f32", "f16", "bf16", "int8"}},
      {.flags = "--load",
       .value = "HOW",
       .help =
           "Where the weights of a file lie: map uses them where the file is mapped, so that the "
           "first token comes soonest; copy reads them into memory in huge pages first, which "
           "then decodes faster where the system maps files in small ones; repack copies "
           "them in the order in which the CPU multiplies them, which decodes fastest; auto is "
           "map.",
       .target = &common.load,
       .choices = {"auto", "map", "copy", "repack"},
       .in_history = false},
      {.flags = "--sparse",
       .value = "KIND",
       .help =
           "Matrices of many zeros: auto packs dense ones, such as unstructured pruning leaves, "
           "in memory, a bit for each weight and the kept ones, and copies integers of 2:4 in "
           "the order of decoding, where this processor multiplies them faster so; off leaves "
           "them as they are. 2:4 never becomes dense.",
       .target = &common.sparse,
       .choices = {"auto", "off"},
       .in_history = false},
      {.flags = "--no-cuda-graph",
       .value = "",
       .help = "For finding faults on a GPU: launch each op of a decode step by itself, instead of "
               "all of them at once as a CUDA graph. Slower; the result is the same.",
       .target = &common.no_cuda_graph,
       .in_history = false}};
}

OptionDecl tensor_parallel_option(CommonOptions& common) {
  return {.flags = "--tensor-parallel",
          .value = "N",
          .help =
              "Started by mpirun -n N: every rank has a part of each layer, on the CPU, or with "
              "--device cuda on a GPU of its own.",
          .target = &common.tensor_parallel,
          .least = 1};
}

OptionDecl verbose_option(CommonOptions& common) {
  return {.flags = "-v,--verbose",
          .value = "",
          .help = "Say more on standard error.",
          .target = &common.verbose,
          .in_history = false};
}

OptionDecl json_option(CommonOptions& common) {
  return {.flags = "--json",
          .value = "",
          .help = "Write the result as JSON.",
          .target = &common.json,
          .in_history = false};
}

std::vector<OptionDecl> standard_options() {
  static bool unused;  // answered before parsing; here so that help and completions list them
  return {{.flags = "-h,--help", .value = "", .help = "Show this help.", .target = &unused},
          {.flags = "--version", .value = "", .help = "Show the version.", .target = &unused}};
}

namespace {

// "", "B", "K", "kB", "KiB": multiplier, 0 when unknown. K = 1024 as in most tools; kB = 1000.
double size_unit(std::string unit) {
  static constexpr std::string_view kLetters = "KMGT";
  if (unit.empty() || unit == "B") return 1;
  const size_t power = kLetters.find(static_cast<char>(std::toupper(unit[0])));
  if (power == std::string_view::npos) return 0;
  const std::string rest = unit.substr(1);
  const double exponent = static_cast<double>(power + 1);
  if (rest.empty() || rest == "iB") return std::pow(1024.0, exponent);
  return rest == "B" ? std::pow(1000.0, exponent) : 0;
}

}  // namespace

int64_t parse_bytes(const std::string& text, const std::string& option) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  const double unit = size_unit(end);
  const double bytes = number * unit;
  if (end == text.c_str() || unit == 0 || !(bytes >= 1) || bytes > 9e18) {
    throw usage_error(option + " '" + text + "' is not a size; write 500M, 8G or 2.5GB");
  }
  return static_cast<int64_t>(bytes);
}

}  // namespace hone
