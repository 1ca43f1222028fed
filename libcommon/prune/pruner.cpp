// Running a prune plan, and what is said about it.
#include "libcommon/prune/pruner.h"

#include <cmath>

#include "libcommon/base/log.h"
#include "libcommon/cli/tool.h"
#include "libcommon/compress/report.h"
#include "libcommon/compress/stage_options.h"
#include "libcommon/model/model_io.h"
#include "libcommon/model/ordered_reader.h"

namespace hone {
namespace {

int64_t product(const std::vector<int64_t>& shape) {
  int64_t elements = 1;
  for (int64_t dimension : shape) elements *= dimension;
  return elements;
}

Json strength_json(const MaskStatistics& s, double threshold) {
  const auto pruned = static_cast<double>(s.zeros_after);
  const double kept = static_cast<double>(s.elements) - pruned;
  return {{"threshold", threshold},
          {"mean_kept", kept > 0 ? s.kept_strength / kept : 0.0},
          {"mean_pruned", pruned > 0 ? s.pruned_strength / pruned : 0.0},
          {"undecided", s.undecided}};
}

Json tensor_json(const PrunedTensor& tensor, const PruneRequest& request) {
  const MaskStatistics& s = tensor.statistics();
  const auto left = static_cast<double>(product(tensor.shape_after));
  Json json = {{"name", tensor.name}, {"shape", tensor.shape_before}};
  if (tensor.renamed != tensor.name) json["renamed"] = tensor.renamed;
  if (tensor.shape_after != tensor.shape_before) json["shape_after"] = tensor.shape_after;
  json["elements"] = s.elements;
  json["zeros_before"] = s.zeros_before;
  json["zeros_after"] = s.zeros_after;
  json["sparsity"] = left > 0 ? static_cast<double>(s.zeros_after) / left : 0.0;
  json["norm_removed"] = finite_or_null(s.norm_removed());
  json["packed"] = tensor.packed;
  if (request.has_threshold) json["strength"] = strength_json(s, request.threshold);
  return json;
}

Json totals_json(const PrunePlan& plan, const PruneRequest& request) {
  MaskStatistics total;
  double left = 0;
  for (const PrunedTensor& tensor : plan.tensors) {
    total.add(tensor.statistics());
    left += static_cast<double>(product(tensor.shape_after));
  }
  Json json = {{"tensors", plan.tensors.size()},
               {"elements", total.elements},
               {"zeros_before", total.zeros_before},
               {"zeros_after", total.zeros_after},
               {"sparsity", left > 0 ? static_cast<double>(total.zeros_after) / left : 0.0},
               {"norm_removed", finite_or_null(total.norm_removed())}};
  if (!plan.dropped_layers.empty()) json["dropped_layers"] = plan.dropped_layers;
  if (request.has_threshold) json["strength"] = strength_json(total, request.threshold);
  return json;
}

Json report_json(const PrunePlan& plan, const PruneOptions& options, const PruneRequest& request) {
  Json json = {{"tool", history_line()},
               {"pattern", options.pattern},
               {"score", options.score},
               {"total", totals_json(plan, request)}};
  json["tensors"] = Json::array();
  for (const PrunedTensor& tensor : plan.tensors) {
    json["tensors"].push_back(tensor_json(tensor, request));
  }
  return json;
}

struct Sizes {
  int64_t before = 0;
  int64_t after = 0;
  int64_t memory = 0;
};

std::string expected_sparsity(const PruneRequest& request) {
  if (request.has_threshold) return "by threshold";
  if (request.pattern == PatternKind::kStructured) return "removed";
  return fixed_text(request.sparsity, 4);
}

void print_dry_run(const PrunePlan& plan, const PruneOptions& options, const PruneRequest& request,
                   const Sizes& sizes) {
  if (options.json) {
    Json json = {{"pattern", options.pattern},
                 {"bytes_before", sizes.before},
                 {"bytes_after", sizes.after},
                 {"peak_memory", sizes.memory},
                 {"tensors", Json::array()}};
    if (request.pattern != PatternKind::kStructured && !request.has_threshold) {
      json["sparsity"] = request.sparsity;
    }
    json["dropped_layers"] = plan.dropped_layers.size();
    for (const PrunedTensor& tensor : plan.tensors) {
      json["tensors"].push_back({{"name", tensor.name},
                                 {"shape", tensor.shape_before},
                                 {"shape_after", tensor.shape_after},
                                 {"packed", tensor.packed}});
    }
    print_result(json.dump(2) + "\n");
    return;
  }
  std::vector<std::vector<std::string>> rows = {{"tensor", "shape", "after", "sparsity"}};
  for (const PrunedTensor& tensor : plan.tensors) {
    rows.push_back({tensor.name, shape_text(tensor.shape_before), shape_text(tensor.shape_after),
                    tensor.packed ? "2:4 packed" : expected_sparsity(request)});
  }
  std::string text = plan.tensors.empty() ? "" : table_text(rows) + "\n";
  if (!plan.dropped_layers.empty()) {
    text += "layers dropped  " + std::to_string(plan.dropped_layers.size()) +
            " (the weights decide which)\n";
  }
  text += table_text({{"model before", human_bytes(static_cast<double>(sizes.before))},
                      {"model after", human_bytes(static_cast<double>(sizes.after))},
                      {"peak memory", human_bytes(static_cast<double>(sizes.memory))}});
  print_result(text);
}

void say_summary(const PrunePlan& plan, const PruneRequest& request, const Sizes& sizes) {
  const Json total = totals_json(plan, request);
  std::string what = counted(static_cast<int64_t>(plan.tensors.size()), "tensor");
  what += request.pattern == PatternKind::kStructured
              ? " and " + counted(static_cast<int64_t>(plan.dropped_layers.size()), "layer") +
                    " pruned, "
              : " pruned, sparsity " + fixed_text(total["sparsity"].get<double>(), 4) + ", ";
  log_note(what + human_bytes(static_cast<double>(sizes.before)) + " -> " +
           human_bytes(static_cast<double>(sizes.after)));
}

}  // namespace

ExitCode run_prune(const PruneOptions& options) {
  const PruneRequest request = parse_prune_options(options);
  const SinkOptions sink = sink_options(options.output, options.shard_size);
  const ReportPlaces places{options.report, options.json, options.output, options.dry_run};
  check_report_places(places);
  if (options.model == "-") require_piped_stdin();
  std::unique_ptr<CheckpointReader> reader = open_model(options.model);
  const ModelSpec spec = spec_from_checkpoint(reader->header(), reader->subject());
  if (needs_all_weights(request) && !options.dry_run && !reader->random_access()) {
    reader = spool(std::move(reader));
  }

  const int threads = options.threads > 0 ? static_cast<int>(options.threads) : default_threads();
  ThreadPool pool(threads);
  const PrunePlanner planner{.reader = *reader,
                             .spec = spec,
                             .options = options,
                             .request = request,
                             .packed = !options.dense && writes_stream(options.output),
                             .decided = !options.dry_run};
  const PrunePlan plan = planner.plan(pool);
  const Sizes sizes{reader->header().total_bytes(), plan.plan.header.total_bytes(),
                    pipeline_memory(reader->header(), plan.plan, reader->random_access())};
  if (options.dry_run) {
    print_dry_run(plan, options, request, sizes);
    return ExitCode::kOk;
  }
  check_memory(options.max_memory, sizes.memory);
  const std::unique_ptr<CheckpointWriter> writer = create_model(options.output, sink);
  run_pipeline(*reader, *writer, plan.plan,
               {.threads = threads, .label = "pruning", .statistics = [&] {
                  return Json{{"prune", totals_json(plan, request)}};
                }});
  write_reports(places, report_json(plan, options, request));
  say_summary(plan, request, sizes);
  return ExitCode::kOk;
}

}  // namespace hone
