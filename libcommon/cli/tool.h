// How every program starts and ends. A tool declares its options once (Options); parsing, --help,
// the man page, shell completions and the history line all walk that declaration.
//
//   int main(int argc, char** argv) { return hone::run_tool(kTool, argc, argv); }
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "libcommon/base/error.h"

namespace hone {

struct OptionDecl {
  std::string flags;  // "-o,--output", "--json"; "MODEL" (no dash): positional
  std::string value;  // name of the value in help: "FILE", "N"; "" for a switch
  std::string help;   // whole sentences
  std::variant<bool*, std::string*, int64_t*, double*, std::vector<std::string>*> target;
  std::vector<std::string> choices = {};  // allowed values, completed by shells
  bool required = false;
  std::string group = "Options";
  bool in_history = true;  // false: cannot change the result's bytes (--threads, -o, --report, -v)
  int64_t least = 0;       // smallest value of an integer: they are counts, sizes and seeds
  bool other_choices = false;  // choices are the usual values; others are judged later
  bool* given = nullptr;       // set where the option was given, if only as ""
  // Flags without which, and flags beside which, it would be ignored: refused instead.
  std::string needs = "";
  std::vector<std::string> without = {};
};

struct Example {
  std::string command;
  std::string explanation;
};

struct ToolDecl {
  std::string name;     // "hone-prune"
  std::string summary;  // one line
  std::string description;
  std::vector<OptionDecl> options;
  std::vector<Example> examples;
  std::function<ExitCode()> run;
};

// An option's flags and how they are shown.
std::vector<std::string> split_flags(const OptionDecl& option);  // {"-o", "--output"}
bool is_positional(const OptionDecl& option);
bool is_switch(const OptionDecl& option);
bool is_repeatable(const OptionDecl& option);

// A theme's options, under its heading in --help.
std::vector<OptionDecl> grouped(const std::string& group, std::vector<OptionDecl> options);
// One list of several.
std::vector<OptionDecl> joined(const std::vector<std::vector<OptionDecl>>& lists);

// Options that mean the same in every tool that has them, bound to one struct.
struct CommonOptions {
  std::string device = "auto";   // --device auto|cpu|ref
  int64_t threads = 0;           // --threads N; 0: physical cores in the affinity mask
  std::string max_memory;        // --max-memory 8G; "" no limit
  bool verbose = false;          // -v
  bool json = false;             // --json
  std::string compute = "auto";  // --compute auto|f32|int8|bf16
  std::string kv_type = "auto";  // --kv-type auto|f32|f16|bf16|int8
  int64_t tensor_parallel = 1;   // --tensor-parallel N
  std::string load = "auto";     // --load auto|map|copy
  std::string sparse = "auto";   // --sparse auto|off
  bool no_cuda_graph = false;    // --no-cuda-graph
  int64_t gpu_layers = 0;        // --gpu-layers N
  bool gpu_layers_given = false;
};
std::vector<OptionDecl> compute_options(CommonOptions&);  // --device --threads --max-memory
// The same without --device: for tools that multiply no matrix.
std::vector<OptionDecl> resource_options(CommonOptions&);
// MODEL and -o of tools that make a model of a model. verb: "prune".
OptionDecl model_option(std::string& model, const std::string& verb);
OptionDecl output_option(std::string& output);
OptionDecl shard_size_option(std::string& size);  // --shard-size of a Hugging Face directory
// --gpu-layers, --compute, --kv-type, --load, --sparse and --no-cuda-graph of tools that run a
// session.
std::vector<OptionDecl> session_options(CommonOptions&);
OptionDecl tensor_parallel_option(CommonOptions&);
OptionDecl verbose_option(CommonOptions&);
OptionDecl json_option(CommonOptions&);
// --help and --version: every tool has them; run_tool adds and answers them.
std::vector<OptionDecl> standard_options();

// "8G", "512M", "1e9", "300MB" -> bytes; "5%" is not a size. Error(kUsage) otherwise.
int64_t parse_bytes(const std::string& text, const std::string& option);

// Parses, runs, maps Error and bad_alloc to one line on stderr and the exit code, ignores SIGPIPE,
// flushes and closes stdout and reports a failed close (a full disk cannot look like success).
// Hidden switches --hone-man and --hone-completion bash|zsh|fish print the generated texts.
int run_tool(ToolDecl tool, int argc, char** argv);

// "hone-prune 0.1.0 --pattern 2:4 model": what a tool appends to a model's history. Paths are given
// by their last component, so equal inputs give equal bytes wherever they lie.
std::string history_line();

// Throws a usage error when stdin is a terminal ("no model: give a path or pipe one in").
void require_piped_stdin();

}  // namespace hone
