#include "libcommon/run/benchmark_report.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

#include "libcommon/base/log.h"
#include "libcommon/bench/stats.h"
#include "libcommon/run/parts_report.h"
#include "libcommon/run/quality.h"
#include "libcommon/run/sparse_report.h"

namespace hone {
namespace {

const std::vector<ReportColumn> kSpeedColumns = {{"model", "model"},
                                                 {"test", "test"},
                                                 {"threads", "threads"},
                                                 {"batch", "batch"},
                                                 {"tokens_per_second", "tokens/s", 1},
                                                 {"low", "low", 1},
                                                 {"high", "high", 1},
                                                 {"ms_per_token", "ms/token", 3},
                                                 {"gigabytes_per_second", "GB/s", 2},
                                                 {"share_of_bandwidth", "of read bw", 3},
                                                 {"gflops", "GFLOP/s", 1},
                                                 {"share_of_peak", "of peak", 3}};

// Of tests on a GPU.
const std::vector<ReportColumn> kGpuColumns = {{"joules_per_token", "J/token", 4},
                                               {"watts", "W", 0},
                                               {"sm_megahertz", "MHz"},
                                               {"slowed_by", "slowed by"}};

[[gnu::format(printf, 1, 2)]] std::string formatted(const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return text;
}

// Of a split model.
std::string parts_lines(const Json& parts) {
  std::string lines;
  if (parts.size() == 1) return lines;
  for (const Json& part : parts) lines += "  " + part_text(part) + "\n";
  return lines;
}

std::string model_line(const Json& model) {
  return model["model"].get<std::string>() +
         formatted(": %s, %.2f bits per weight, %s, load %.1f ms, first token after %.1f ms (%s)",
                   human_bytes(model["stored_bytes"].get<double>()).c_str(),
                   model["bits_per_weight"].get<double>(),
                   model["weights"].get<std::string>().c_str(),
                   model["load_seconds"].get<double>() * 1e3,
                   model["first_token_seconds"].get<double>() * 1e3,
                   model["backend_detail"].get<std::string>().c_str()) +
         sparse_text(model["sparse"]) + "\n" + parts_lines(model["parts"]);
}

// 0 where the peak was not measured.
double share(double rate, double peak) { return peak > 0 ? rate / peak : 0; }

std::string peak_line(const Json& peak) {
  if (peak["threads"] == 0) {
    return formatted("GPU: read %.1f GB/s, bf16 products %.1f GFLOP/s\n",
                     peak["read_gigabytes_per_second"].get<double>(), peak["gflops"].get<double>());
  }
  std::string text = formatted(
      "machine, %d threads: read %.1f GB/s, multiply-add %.1f GFLOP/s", peak["threads"].get<int>(),
      peak["read_gigabytes_per_second"].get<double>(), peak["gflops"].get<double>());
  const double bf16 = peak["bf16_gflops"].get<double>();
  if (bf16 > 0) text += formatted(", bf16 %.1f GFLOP/s", bf16);
  const double int8 = peak["int8_gops"].get<double>();
  if (int8 > 0) text += formatted(", int8 %.1f GOP/s", int8);
  return text + "\n";
}

// Of what could be read beside each sample.
double share_of_reads(double bytes, const std::vector<double>& seconds,
                      std::span<const double> reads) {
  std::vector<double> shares;
  for (size_t i = 0; i < seconds.size(); ++i) shares.push_back(share(bytes / seconds[i], reads[i]));
  return median(shares);
}

}  // namespace

Json speed_row(const BenchmarkSubject& subject, const SpeedTest& test, const Samples& samples,
               const MachinePeaks& peaks, std::span<const double> reads) {
  const std::vector<double> unread(samples.seconds.size(), peaks.read_bytes_per_second);
  if (reads.empty()) reads = unread;
  const Summary seconds = summarize(samples.seconds);
  const SpeedWork work = speed_work(*subject.engine.session, test);
  const auto count = static_cast<double>(test.all_tokens());
  const double peak = product_peak(*subject.engine.session, peaks);
  return {{"model", subject.name},
          {"test", test.name()},
          {"threads", subject.threads},
          {"batch", test.batch},
          {"tokens_per_second", count / seconds.median},
          {"low", count / seconds.high},
          {"high", count / seconds.low},
          {"ms_per_token", seconds.median / static_cast<double>(test.tokens) * 1e3},
          {"gigabytes_per_second", work.bytes / seconds.median / 1e9},
          {"share_of_bandwidth", share_of_reads(work.bytes, samples.seconds, reads)},
          {"read_gigabytes_per_second", median({reads.begin(), reads.end()}) / 1e9},
          {"gflops", work.flops / seconds.median / 1e9},
          {"share_of_peak", share(work.flops / seconds.median, peak)},
          {"samples_seconds", samples.seconds},
          {"stationary", samples.stationary}};
}

void add_gpu_use(Json& row, const GpuState& state, std::optional<double> joules_per_token) {
  const auto told = [](const auto& value) { return value ? Json(*value) : Json(nullptr); };
  row["joules_per_token"] = told(joules_per_token);
  row["watts"] = told(state.watts);
  row["sm_megahertz"] = told(state.sm_megahertz);
  row["memory_megahertz"] = told(state.memory_megahertz);
  row["slowed_by"] = told(state.slowed_by);
}

Json model_row(const BenchmarkSubject& subject, double first_token_seconds) {
  const LoadedModel& model = *subject.engine.model;
  const Session& session = *subject.engine.session;
  const auto bits = 8.0 * static_cast<double>(model.stored_bytes);
  return {{"model", subject.name},
          {"architecture", model.spec.architecture},
          {"parameters", model.parameters},
          {"stored_bytes", model.stored_bytes},
          {"bits_per_weight", bits / static_cast<double>(model.parameters)},
          {"load_seconds", model.load_seconds},
          {"weights", weights_place(model)},
          {"first_token_seconds", first_token_seconds},
          {"memory_bytes", session.memory().total()},
          {"int8_products", session.int8_products()},
          {"bf16_products", session.bf16_products()},
          {"repacked_products", session.repacked_products()},
          {"sparse", sparse_json(session.sparse_products())},
          {"kv_type", kv_type_name(session.kv_type())},
          {"backend", session.backend_name()},
          {"backend_detail", session.backend_detail()},
          {"parts", parts_json(session.parts())}};
}

Json peaks_row(int threads, const MachinePeaks& peaks) {
  return {{"threads", threads},
          {"read_gigabytes_per_second", peaks.read_bytes_per_second / 1e9},
          {"gflops", peaks.flops_per_second / 1e9},
          {"bf16_gflops", peaks.bf16_flops_per_second / 1e9},
          {"int8_gops", peaks.int8_operations_per_second / 1e9}};
}

std::string benchmark_text(const Json& results, ReportFormat format) {
  std::string text;
  const auto rows = results["results"].get<std::vector<Json>>();
  std::vector<ReportColumn> columns = kSpeedColumns;
  const bool gpu = std::any_of(rows.begin(), rows.end(),
                               [](const Json& row) { return row.contains("joules_per_token"); });
  if (gpu) columns.insert(columns.end(), kGpuColumns.begin(), kGpuColumns.end());
  if (!rows.empty()) text += report_text(columns, rows, format);
  if (format == ReportFormat::kCsv) return text;
  if (!text.empty()) text += "\n";
  for (const Json& model : results["models"]) text += model_line(model);
  for (const Json& row : results["quality"]) text += quality_line(row);
  for (const Json& peak : results["peaks"]) text += peak_line(peak);
  if (results.contains("ranks")) {
    text += formatted("%d ranks together", results["ranks"].get<int>());
    if (results.contains("transport")) {
      text += ", sums by " + results["transport"].get<std::string>();
    }
    text += "; threads are those of each\n";
  }
  return text + "peak memory " + human_bytes(results["peak_memory_bytes"].get<double>()) + "\n";
}

}  // namespace hone
