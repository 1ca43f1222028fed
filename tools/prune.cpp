// hone-prune: sets weights to zero, or takes neurons, heads and layers out of a model.
#include "kernels/open.h"
#include "libcommon/cli/tool.h"
#include "libcommon/prune/pruner.h"

namespace {

hone::PruneOptions options;
hone::CommonOptions common;

std::vector<hone::OptionDecl> amount_options() {
  return {
      {.flags = "--sparsity",
       .value = "P",
       .help = "Share of weights, neurons, heads or layers that go: 0.5 or 50%.",
       .target = &options.sparsity},
      {.flags = "--pattern",
       .value = "PATTERN",
       .help =
           "unstructured: single weights, the default. N:M, as 2:4: of each M neighbours N stay "
           "(M up to 32). ffn, heads, layers: neurons of the feed-forward blocks, whole "
           "key-value groups, whole blocks are taken out and config.json says so. rows: neurons "
           "are taken out, rows of the other matrices set to zero.",
       .target = &options.pattern,
       .choices = {}},
      {.flags = "--threshold",
       .value = "T",
       .help = "Instead of --sparsity: weights smaller than T go. The report then gives the "
               "strength (|w|-T)/(|w|+T) of what stays and what goes.",
       .target = &options.threshold},
      {.flags = "--score",
       .value = "NAME",
       .help = "What a weight is worth. magnitude: its size.",
       .target = &options.score,
       .choices = hone::score_names()},
      {.flags = "--norm",
       .value = "NORM",
       .help = "How the scores of a neuron, head or layer add up: l2, the default, or l1.",
       .target = &options.norm,
       .choices = {"l1", "l2"}},
      {.flags = "--scope",
       .value = "SCOPE",
       .help =
           "Weights compete for --sparsity within their tensor, the default, their layer, or the "
           "whole model (global). The last two read the model twice; from a pipe, through a "
           "temporary file.",
       .target = &options.scope,
       .choices = {"tensor", "layer", "global"}},
  };
}

std::vector<hone::OptionDecl> tensor_options() {
  return {
      {.flags = "--include",
       .value = "REGEX",
       .help = "Prune the matrices whose names contain a match, instead of all Linear layers.",
       .target = &options.include},
      {.flags = "--exclude",
       .value = "REGEX",
       .help = "Leave these out.",
       .target = &options.exclude},
      {.flags = "--round-to",
       .value = "N",
       .help = "The feed-forward width that stays is a multiple of N. Default: 32, or 1 for small "
               "models.",
       .target = &options.round_to},
  };
}

std::vector<hone::OptionDecl> work_options() {
  return {
      {.flags = "--dense",
       .value = "",
       .help = "Keep the zeros of 2:4 in place. By default a stream carries 2:4 packed; files that "
               "other programs load are always dense.",
       .target = &options.dense},
      hone::shard_size_option(options.shard_size),
      {.flags = "--dry-run",
       .value = "",
       .help = "Say what would change, sizes before and after, and peak memory, from the header "
               "alone; write nothing.",
       .target = &options.dry_run},
      {.flags = "--report",
       .value = "FILE",
       .help = "Write JSON with the sparsity reached and the norm removed, per tensor.",
       .target = &options.report,
       .in_history = false},
  };
}

std::vector<hone::OptionDecl> declarations() {
  return hone::joined(
      {{hone::model_option(options.model, "prune"), hone::output_option(options.output)},
       hone::grouped("What goes", amount_options()),
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
  return hone::run_prune(options);
}

}  // namespace

int main(int argc, char** argv) {
  hone::ToolDecl tool{
      .name = "hone-prune",
      .summary = "remove the weights of a language model that matter least",
      .description =
          "Sets the least important weights of a model to zero, or takes whole neurons, heads or "
          "layers out of it. Embeddings and the output head stay as they are. The result is an "
          "ordinary model: it goes down a pipe to the next tool, or to a file that other programs "
          "load. Quantize after pruning, not before.",
      .options = declarations(),
      .examples =
          {{"hone-prune model/ --pattern 2:4 | hone-quantize --scheme w4a16 | hone-generate -p Hi",
            "Halve the weights, quantize the rest, try the result; nothing touches the disk."},
           {"hone-prune model/ --sparsity 0.5 --scope global --report pruned.json -o pruned/",
            "Half of all weights go, wherever they are; a report says what each tensor lost."},
           {"hone-prune model/ --pattern ffn --sparsity 0.25 -o smaller/",
            "A smaller model: a quarter of the feed-forward neurons of each layer is gone."},
           {"hone-prune model.gguf --pattern layers --sparsity 0.1 --dry-run",
            "What would dropping a tenth of the layers give?"}},
      .run = run,
  };
  return hone::run_tool(tool, argc, argv);
}
