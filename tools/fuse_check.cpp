// hone-fuse-check: which chains of a model's ops run as one, why others do not, what that saves,
// and whether the fused ops compute the same.
#include <cstdio>
#include <memory>

#include "kernels/open.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/tool.h"
#include "libcommon/graph/execute.h"
#include "libcommon/graph/fuse_run.h"
#include "libcommon/io/byte_sink.h"
#include "libcommon/model/model_io.h"

using namespace hone;

namespace {

struct FuseCheckOptions {
  CommonOptions common;
  std::string model = "-";
  int64_t tokens = 16;
  int64_t seed = 1;
  std::vector<std::string> require;
  double tolerance = 0;
  bool tolerance_given = false;  // else each fusion's own
  std::string dot;
  bool no_run = false;
  bool no_time = false;
} options;

std::string known_fusions() {
  std::string names;
  for (const Fusion& fusion : fusions()) {
    names += (names.empty() ? "" : ", ") + std::string(fusion.name);
  }
  return names;
}

void check_options() {
  if (options.tokens < 1) throw usage_error("--tokens must be at least 1");
  if (!(options.tolerance >= 0)) {
    throw usage_error("--tolerance must be 0 or more");
  }
  for (const std::string& name : options.require) {
    if (find_fusion(name)) continue;
    throw usage_error("--require " + name + ": no such fusion; known: " + known_fusions());
  }
  if (options.model == "-") require_piped_stdin();
}

std::unique_ptr<Backend> open_device() {
  std::string why;
  auto backend =
      open_backend(options.common.device, static_cast<int>(options.common.threads), &why);
  if (!backend) throw usage_error("--device " + options.common.device + ": " + why);
  log_verbose("device " + std::string(backend->name()) + ", " + std::string(backend->detail()) +
              (why.empty() ? "" : "; " + why));
  return backend;
}

FuseReport report_of(const ModelSpec& spec, const WeightTable& weights, const Backend& backend,
                     const std::string& subject) {
  if (options.tokens >= spec.context) {  // one more is the token that is decoded alone
    throw usage_error("--tokens " + std::to_string(options.tokens) + ": must be below the " +
                      std::to_string(spec.context) + " positions of " + subject);
  }
  const auto available = [&](OpKind op) { return has_kernel(backend, op); };
  return fuse_report({.subject = subject,
                      .spec = spec,
                      .weights = weights,
                      .shape = {.tokens = options.tokens, .wanted = options.tokens},
                      .rewrite = {.has_kernel = available, .few_ops = backend.few_ops()}});
}

FuseReport from_header(CheckpointReader& reader, const Backend& backend) {
  const ModelSpec spec = spec_from_checkpoint(reader.header(), reader.subject());
  const std::vector<StoredWeight> stored = stored_weights(reader.header(), reader.subject());
  FuseReport report = report_of(spec, weight_table(spec, stored), backend, reader.subject());
  // Whoever writes into a pipe is heard out, and its trailer verified.
  while (!reader.random_access() && reader.next()) {
  }
  return report;
}

int64_t memory_limit() {
  const std::string& text = options.common.max_memory;
  return text.empty() ? 0 : parse_bytes(text, "--max-memory");
}

// Every value of the unfused step is kept, so that each chain can be run on its true inputs.
void check_memory(const LoadedModel& model, const FuseReport& report) {
  const int64_t limit = memory_limit();
  const int64_t needed = model.resident_bytes + report.figures_before.sum_bytes;
  if (limit == 0 || needed <= limit) return;
  throw resource_error(model.subject + ": needs " + human_bytes(static_cast<double>(needed)) +
                       ", --max-memory is " + human_bytes(static_cast<double>(limit)) +
                       "; fewer --tokens need less");
}

FuseReport from_model(std::unique_ptr<CheckpointReader> reader, Backend& backend) {
  const std::unique_ptr<LoadedModel> model =
      load_model(std::move(reader), {.max_memory = memory_limit()});
  FuseReport report = report_of(model->spec, weight_table(*model), backend, model->subject);
  check_memory(*model, report);
  FuseRunOptions run = {.seed = static_cast<uint64_t>(options.seed), .measure = !options.no_time};
  if (options.tolerance_given) run.tolerance = options.tolerance;
  run_fusions(report, *model, backend, run);
  return report;
}

void write_dot(const FuseReport& report) {
  if (!options.dot.empty()) write_text(options.dot, dot_text(report.before, report.after));
}

ExitCode verdict(const FuseReport& report) {
  ExitCode code = ExitCode::kOk;
  for (const std::string& name : options.require) {
    if (report.has_fused(name)) continue;
    log_note(report.subject + ": '" + name + "' fuses nowhere");
    code = ExitCode::kVerdict;
  }
  if (!report.passed()) {
    log_note(report.subject + ": a fused result is outside its tolerance");
    code = ExitCode::kVerdict;
  }
  return code;
}

ExitCode run() {
  check_options();
  const std::unique_ptr<Backend> backend = open_device();
  std::unique_ptr<CheckpointReader> reader = open_model(options.model);
  const FuseReport report =
      options.no_run ? from_header(*reader, *backend) : from_model(std::move(reader), *backend);
  write_dot(report);
  const std::string text =
      options.common.json ? fuse_json(report).dump(2) + "\n" : fuse_table(report);
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) {
    throw_errno("standard output", "write failed");
  }
  return verdict(report);
}

std::vector<OptionDecl> declared_options() {
  std::vector<OptionDecl> all = {
      {"MODEL", "", "Model: a path, random:SHAPE, or - for standard input.", &options.model},
      {"--tokens", "N", "Tokens of the step that is costed and run.", &options.tokens},
      {.flags = "--seed",
       .value = "N",
       .help = "Seed of the random token ids.",
       .target = &options.seed,
       .without = {"--no-run"}},
      {"--require", "NAME", "Exit with 1 unless this fusion applies somewhere.", &options.require},
      {.flags = "--tolerance",
       .value = "X",
       .help = "Largest difference over largest magnitude that a fused chain may have, in place of "
               "each fusion's own.",
       .target = &options.tolerance,
       .given = &options.tolerance_given,
       .without = {"--no-run"}},
      {"--no-run", "", "Report from the header alone: nothing is loaded or run.", &options.no_run},
      {.flags = "--no-time",
       .value = "",
       .help = "Compare results but measure no times.",
       .target = &options.no_time,
       .without = {"--no-run"}},
      {"--dot", "FILE", "Write both graphs, before and after, for Graphviz.", &options.dot},
      json_option(options.common),
      verbose_option(options.common)};
  for (OptionDecl& option : compute_options(options.common)) all.push_back(std::move(option));
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(
      {.name = "hone-fuse-check",
       .summary = "check which ops of a model fuse, and that they compute the same",
       .description =
           "Lists every chain of ops that hone runs as one, with layer, shapes and stored type; "
           "for a chain that nearly fits, the reason why it does not. Chains are ranked by their "
           "fusion factor, FLOPs per byte that still crosses the fused op's border. Each chain is "
           "run fused and unfused on the same inputs, and both are compared with the "
           "double-precision reference. Exit code 1: a fused result is outside its tolerance, or "
           "a required fusion is absent.",
       .options = declared_options(),
       .examples = {{"hone-fuse-check MODEL", "Report, run and compare."},
                    {"hone-fuse-check MODEL --no-run --require gated-matmul",
                     "Fail unless the gated feed-forward fuses; reads the header only."},
                    {"hone-fuse-check MODEL --dot g.dot && dot -Tsvg g.dot > g.svg",
                     "Draw the graph before and after."}},
       .run = run},
      argc, argv);
}
