// Running a quantize plan, and what is said about it.
#include "libcommon/quant/quantizer.h"

#include <map>

#include "libcommon/base/log.h"
#include "libcommon/cli/tool.h"
#include "libcommon/compress/report.h"
#include "libcommon/compress/stage_options.h"
#include "libcommon/model/model_io.h"

namespace hone {
namespace {

double bits_per_weight(int64_t bytes, int64_t elements) {
  return elements == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(elements);
}

// Tensors of one scheme.
struct SchemeSum {
  int64_t tensors = 0;
  int64_t elements = 0;
  int64_t bytes = 0;
  ErrorStatistics statistics;
};

std::map<std::string, SchemeSum> sums_by_scheme(const QuantizePlan& plan) {
  std::map<std::string, SchemeSum> sums;
  for (const QuantizedTensor& tensor : plan.tensors) {
    SchemeSum& sum = sums[describe(tensor.scheme)];
    ++sum.tensors;
    sum.elements += tensor.elements;
    sum.bytes += tensor.bytes_after;
    sum.statistics.add(tensor.statistics());
  }
  return sums;
}

Json error_json(const ErrorStatistics& s) {
  return {{"mean_square_error", finite_or_null(s.mean_square_error())},
          {"snr_db", finite_or_null(s.snr_db())}};  // null: without any error
}

Json tensor_json(const QuantizedTensor& tensor) {
  const ErrorStatistics& s = tensor.statistics();
  Json json = {{"name", tensor.name},
               {"scheme", describe(tensor.scheme)},
               {"shape", tensor.shape},
               {"bits_per_weight", bits_per_weight(tensor.bytes_after, tensor.elements)}};
  json.update(error_json(s));
  if (s.worst_error >= 0) {
    json["worst"] = {{"row", s.worst_row},
                     {"column", s.worst_column},
                     {"before", s.worst_before},
                     {"after", finite_or_null(s.worst_after)}};
  }
  if (s.not_finite > 0) json["not_finite"] = s.not_finite;
  return json;
}

Json totals_json(const QuantizePlan& plan) {
  Json json = Json::object();
  for (const auto& [scheme, sum] : sums_by_scheme(plan)) {
    Json entry = {{"tensors", sum.tensors},
                  {"elements", sum.elements},
                  {"bits_per_weight", bits_per_weight(sum.bytes, sum.elements)}};
    entry.update(error_json(sum.statistics));
    json[scheme] = entry;
  }
  return json;
}

Json report_json(const QuantizePlan& plan) {
  Json json = {{"tool", history_line()}, {"schemes", totals_json(plan)}};
  json["tensors"] = Json::array();
  for (const QuantizedTensor& tensor : plan.tensors) json["tensors"].push_back(tensor_json(tensor));
  return json;
}

struct Sizes {
  int64_t before = 0;
  int64_t after = 0;
  int64_t memory = 0;
};

Json dry_run_json(const QuantizePlan& plan, const Sizes& sizes) {
  Json json = {{"bytes_before", sizes.before},
               {"bytes_after", sizes.after},
               {"peak_memory", sizes.memory},
               {"notes", plan.notes},
               {"tensors", Json::array()}};
  for (const QuantizedTensor& tensor : plan.tensors) {
    json["tensors"].push_back(
        {{"name", tensor.name},
         {"scheme", describe(tensor.scheme)},
         {"shape", tensor.shape},
         {"bytes_before", tensor.bytes_before},
         {"bytes_after", tensor.bytes_after},
         {"bits_per_weight", bits_per_weight(tensor.bytes_after, tensor.elements)}});
  }
  return json;
}

std::string dry_run_text(const QuantizePlan& plan, const Sizes& sizes) {
  std::vector<std::vector<std::string>> rows = {
      {"scheme", "tensors", "weights", "bits per weight", "size"}};
  for (const auto& [scheme, sum] : sums_by_scheme(plan)) {
    rows.push_back({scheme, std::to_string(sum.tensors), std::to_string(sum.elements),
                    fixed_text(bits_per_weight(sum.bytes, sum.elements), 3),
                    human_bytes(static_cast<double>(sum.bytes))});
  }
  return table_text(rows) + "\n" +
         table_text({{"model before", human_bytes(static_cast<double>(sizes.before))},
                     {"model after", human_bytes(static_cast<double>(sizes.after))},
                     {"peak memory", human_bytes(static_cast<double>(sizes.memory))}});
}

void say_summary(const QuantizePlan& plan, const Sizes& sizes) {
  std::string text;
  for (const auto& [scheme, sum] : sums_by_scheme(plan)) {
    text += (text.empty() ? "" : "; ") + counted(sum.tensors, "tensor") + " " + scheme;
    if (sum.statistics.square_error > 0) {
      text += ", " + fixed_text(sum.statistics.snr_db(), 1) + " dB";
    }
  }
  if (text.empty()) text = "every tensor has its type already";
  log_note(text + "; " + human_bytes(static_cast<double>(sizes.before)) + " -> " +
           human_bytes(static_cast<double>(sizes.after)));
}

}  // namespace

ExitCode run_quantize(const QuantizeOptions& options) {
  const Recipe recipe(options);  // options that do not parse are refused before a model is opened
  const SinkOptions sink = sink_options(options.output, options.shard_size);
  const ReportPlaces places{options.report, options.json, options.output, options.dry_run};
  check_report_places(places);
  if (options.model == "-") require_piped_stdin();
  const std::unique_ptr<CheckpointReader> reader = open_model(options.model);
  const QuantizePlan plan = plan_quantization(reader->header(), reader->subject(), options);
  for (const std::string& note : plan.notes) log_warning(reader->subject() + ": " + note);
  const Sizes sizes{reader->header().total_bytes(), plan.plan.header.total_bytes(),
                    pipeline_memory(reader->header(), plan.plan, reader->random_access())};
  if (options.dry_run) {
    print_result(options.json ? dry_run_json(plan, sizes).dump(2) + "\n"
                              : dry_run_text(plan, sizes));
    return ExitCode::kOk;
  }
  check_memory(options.max_memory, sizes.memory);
  const std::unique_ptr<CheckpointWriter> writer = create_model(options.output, sink);
  const int threads = options.threads > 0 ? static_cast<int>(options.threads) : default_threads();
  run_pipeline(*reader, *writer, plan.plan,
               {.threads = threads, .label = "quantizing", .statistics = [&] {
                  return Json{{"quantize", totals_json(plan)}};
                }});
  write_reports(places, report_json(plan));
  say_summary(plan, sizes);
  return ExitCode::kOk;
}

}  // namespace hone
