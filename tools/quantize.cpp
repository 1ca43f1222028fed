// hone-quantize: stores a model's weights in fewer bits.
#include "kernels/open.h"
#include "libcommon/cli/tool.h"
#include "libcommon/quant/quantizer.h"

namespace {

hone::QuantizeOptions options;
hone::CommonOptions common;

std::string scheme_help() {
  std::string text = "What the weights become.";
  for (const hone::SchemeHelp& row : hone::scheme_table()) {
    text += " " + row.name + ": " + row.text + ".";
  }
  return text;
}

std::vector<hone::OptionDecl> scheme_options() {
  return {
      {.flags = "--scheme",
       .value = "NAME",
       .help = scheme_help(),
       .target = &options.scheme,
       .choices = hone::scheme_names()},
      {.flags = "--bits",
       .value = "N",
       .help = "Integers of 2, 3, 4, 5, 6 or 8 bits instead of the scheme's.",
       .target = &options.overrides.bits},
      {.flags = "--group-size",
       .value = "N",
       .help = "32, 64, 128 or 256 neighbouring weights share a scale.",
       .target = &options.overrides.group_size},
      {.flags = "--strategy",
       .value = "WHAT",
       .help = "Who shares a scale: the whole tensor, a channel (output), or a group.",
       .target = &options.overrides.strategy,
       .choices = {"tensor", "channel", "group"}},
      {.flags = "--symmetric",
       .value = "",
       .help = "No zero points.",
       .target = &options.overrides.symmetric},
      {.flags = "--asymmetric",
       .value = "",
       .help = "A zero point with each scale.",
       .target = &options.overrides.asymmetric},
      {.flags = "--range",
       .value = "RULE",
       .help = "Which weights the numbers must reach: absmax (symmetric schemes' default), minmax "
               "(asymmetric schemes' default), percentile (the outermost are cut off), mse (the "
               "range of least square error).",
       .target = &options.overrides.range,
       .choices = {"absmax", "minmax", "percentile", "mse"}},
      {.flags = "--percentile",
       .value = "P",
       .help = "With --range percentile: so many percent lie inside. Default: 99.9.",
       .target = &options.overrides.percentile},
  };
}

std::vector<hone::OptionDecl> tensor_options() {
  return {
      {.flags = "--set",
       .value = "REGEX=SCHEME",
       .help = "Another scheme for the tensors whose names contain a match; none leaves them. "
               "The first match wins.",
       .target = &options.sets},
      {.flags = "--include",
       .value = "REGEX",
       .help = "Quantize the matrices whose names contain a match, instead of all Linear layers.",
       .target = &options.include},
      {.flags = "--exclude",
       .value = "REGEX",
       .help = "Leave these as they are.",
       .target = &options.exclude},
  };
}

std::vector<hone::OptionDecl> work_options() {
  return {
      {.flags = "--requantize",
       .value = "",
       .help = "Quantize a model that is quantized already; errors add up.",
       .target = &options.requantize},
      {.flags = "--allow-nan",
       .value = "",
       .help = "Go on where a weight is NaN or infinite: NaN becomes 0 and infinity the largest "
               "number in integer schemes.",
       .target = &options.allow_nan},
      hone::shard_size_option(options.shard_size),
      {.flags = "--dry-run",
       .value = "",
       .help = "Say bits per weight, sizes and peak memory, from the header alone; write nothing.",
       .target = &options.dry_run},
      {.flags = "--report",
       .value = "FILE",
       .help = "Write JSON with scheme, mean square error, signal-to-noise ratio and the worst "
               "element, per tensor.",
       .target = &options.report,
       .in_history = false},
  };
}

std::vector<hone::OptionDecl> declarations() {
  return hone::joined(
      {{hone::model_option(options.model, "quantize"), hone::output_option(options.output)},
       hone::grouped("Scheme", scheme_options()),
       hone::grouped("Which tensors", tensor_options()),
       work_options(),
       hone::resource_options(common),
       {hone::json_option(common), hone::verbose_option(common)}});
}

hone::ExitCode run() {
  options.threads = common.threads;
  options.max_memory = common.max_memory;
  options.json = common.json;
  std::string why;
  if (!hone::choose_cpu_instructions(&why)) throw hone::usage_error(why);
  return hone::run_quantize(options);
}

}  // namespace

int main(int argc, char** argv) {
  hone::ToolDecl tool{
      .name = "hone-quantize",
      .summary = "store the weights of a language model in fewer bits",
      .description =
          "Stores the weights of a model as small integers or short floats. Embeddings and the "
          "output head keep their type in the schemes of Hugging Face models, as is usual there, "
          "and "
          "are Q8_0 or smaller in those of GGUF files. Casts (bf16, f16, f32) of a quantized model "
          "give plain weights back. The result loads in transformers and vLLM (a directory) or "
          "llama.cpp (a .gguf file), or goes down a pipe.",
      .options = declarations(),
      .examples =
          {{"hone-quantize model/ --scheme w4a16 | hone-generate -p 'Once upon a time'",
            "Four bits a weight, tried at once."},
           {"hone-quantize model/ --scheme w8a8 -o out/",
            "A directory for vLLM: int8 weights and activations."},
           {"hone-quantize model/ --scheme w4a16 --set lm_head=w8a16 -o out/",
            "An output head of eight bits instead of bf16: a small model decodes a tenth faster."},
           {"hone-quantize model/ --scheme w4a16 --set 'down_proj=w8a16' --range mse "
            "--report r.json "
            "-o out/",
            "The down projections get eight bits; ranges of least square error; a report."},
           {"hone-quantize model.gguf --scheme bf16 -o out/",
            "A GGUF file's exact values as a Hugging Face directory."}},
      .run = run,
  };
  return hone::run_tool(tool, argc, argv);
}
