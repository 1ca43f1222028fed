#include "libcommon/run/quality.h"

#include <algorithm>
#include <cstdio>

#include "libcommon/base/hash.h"
#include "libcommon/base/log.h"

namespace hone {
namespace {

constexpr int64_t kPaperContext = 2048;  // of GPTQ, SparseGPT, Wanda and AWQ
constexpr std::string_view kSpace = " \t\r\n";

int64_t window_context(const Engine& engine, const QualityOptions& options) {
  const int64_t limit = engine.session->context();
  return options.context > 0 ? options.context : std::min(limit, kPaperContext);
}

std::string stripped(const std::string& text) {
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::vector<std::string> documents(const std::string& text, const std::string& mark) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(mark, begin), text.size());
    std::string part = stripped(text.substr(begin, end - begin));
    if (!part.empty()) parts.push_back(std::move(part));
    begin = end + mark.size();
  }
  return parts;
}

std::string text_hash(const std::string& text) {
  Hash128 hash;
  hash.update(std::as_bytes(std::span(text)));
  return hash.hex();
}

std::string protocol(const QualityOptions& options, int64_t context) {
  if (!options.split.empty()) return "one sequence per document";
  return options.stride == 0 || options.stride == context ? "windows without overlap"
                                                          : "sliding windows";
}

Json common_fields(const Engine& engine, const std::string& name, const std::string& text,
                   const QualityOptions& options, size_t windows) {
  const int64_t context = window_context(engine, options);
  return {{"model", name},
          {"text_bytes", text.size()},
          {"text_xxh3", text_hash(text)},
          {"protocol", protocol(options, context)},
          {"context", context},
          {"stride", options.stride > 0 ? options.stride : context},
          {"windows", windows}};
}

void add_perplexity(Json& row, const PerplexityResult& result) {
  row["tokens"] = result.nll.count;
  row["mean_nll"] = result.nll.mean;
  row["mean_nll_se"] = result.nll.standard_error;
  row["perplexity"] = result.perplexity();
  row["perplexity_se"] = result.perplexity_standard_error();
  row["tokens_per_second"] =
      result.seconds > 0 ? static_cast<double>(result.tokens_run) / result.seconds : 0.0;
}

WindowProgress progress_over(Progress& progress) {
  return [&progress, last = size_t{0}](size_t done) mutable {
    progress.advance(static_cast<int64_t>(done - last));
    last = done;
  };
}

}  // namespace

std::vector<TextWindow> quality_windows(const Engine& engine, const std::string& text,
                                        const QualityOptions& options) {
  const Tokenizer& tokenizer = engine.require_tokenizer();
  const int64_t context = window_context(engine, options);
  std::vector<TextWindow> windows;
  if (options.split.empty()) {
    const std::vector<int32_t> ids = tokenizer.encode(text, /*add_special_tokens=*/true);
    windows = text_windows(ids, context, options.stride > 0 ? options.stride : context);
  } else {
    std::vector<std::vector<int32_t>> ids;
    for (const std::string& document : documents(text, options.split)) {
      ids.push_back(tokenizer.encode(document, /*add_special_tokens=*/false));
    }
    windows = document_windows(ids, tokenizer.bos(), context);
  }
  if (options.max_windows > 0 && windows.size() > static_cast<size_t>(options.max_windows)) {
    windows.resize(static_cast<size_t>(options.max_windows));
  }
  return windows;
}

Json perplexity_row(Engine& engine, const std::string& name, const std::string& text,
                    const QualityOptions& options) {
  const std::vector<TextWindow> windows = quality_windows(engine, text, options);
  Progress progress("perplexity", static_cast<int64_t>(windows.size()));
  Json row = common_fields(engine, name, text, options, windows.size());
  add_perplexity(row, perplexity(*engine.session, windows, progress_over(progress)));
  return row;
}

Json comparison_row(Engine& base, Engine& engine, const std::string& name, const std::string& text,
                    const QualityOptions& options) {
  const std::vector<TextWindow> windows = quality_windows(engine, text, options);
  Progress progress("comparison", static_cast<int64_t>(windows.size()));
  Json row = common_fields(engine, name, text, options, windows.size());
  const ComparisonResult result =
      compare_predictions(*base.session, *engine.session, windows, progress_over(progress));
  add_perplexity(row, result.other);
  row["base_perplexity"] = result.base.perplexity();
  row["perplexity_ratio"] = result.other.perplexity() / result.base.perplexity();
  row["nll_difference"] = result.nll_difference.mean;
  row["nll_difference_se"] = result.nll_difference.standard_error;
  row["kl_mean"] = result.kl.mean;
  row["kl_mean_se"] = result.kl.standard_error;
  row["kl_median"] = result.kl_median;
  row["kl_99th"] = result.kl_99th;
  row["kl_max"] = result.kl_max;
  row["same_top"] = result.same_top.mean;
  row["same_top_se"] = result.same_top.standard_error;
  return row;
}

std::string quality_line(const Json& row) {
  char text[320];
  std::snprintf(text, sizeof text, ": perplexity %.4f +- %.4f (%lld tokens, context %lld, %s)",
                row["perplexity"].get<double>(), row["perplexity_se"].get<double>(),
                static_cast<long long>(row["tokens"].get<int64_t>()),
                static_cast<long long>(row["context"].get<int64_t>()),
                row["protocol"].get<std::string>().c_str());
  std::string line = row["model"].get<std::string>() + text;
  if (row.contains("kl_mean")) {
    std::snprintf(text, sizeof text,
                  "; base %.4f, ratio %.4f, KL %.5f +- %.5f nats, same top token %.2f %%",
                  row["base_perplexity"].get<double>(), row["perplexity_ratio"].get<double>(),
                  row["kl_mean"].get<double>(), row["kl_mean_se"].get<double>(),
                  row["same_top"].get<double>() * 100);
    line += text;
  }
  return line + "\n";
}

}  // namespace hone
