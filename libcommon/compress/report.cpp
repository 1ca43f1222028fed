#include "libcommon/compress/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "libcommon/base/error.h"
#include "libcommon/io/byte_sink.h"

namespace hone {

void check_report_places(const ReportPlaces& places) {
  if (places.dry_run) return;
  const std::string& file = places.file;
  if (places.output == "-" && (places.json || file == "-")) {
    throw usage_error(std::string(places.json ? "--json" : "--report -") +
                      ": standard output is taken by the model; use -o or --report FILE");
  }
  if (file.empty() || file == "-") return;
  namespace fs = std::filesystem;
  std::error_code ignored;
  const auto place = [&](const std::string& path) {
    return fs::weakly_canonical(fs::absolute(path, ignored), ignored);
  };
  if (place(file) == place(places.output)) {
    throw usage_error("--report " + file + ": the model goes there; choose another file");
  }
  if (fs::is_directory(file, ignored)) {
    throw resource_error(file + ": cannot write the report: is a directory");
  }
  const fs::path parent = fs::path(parent_directory(file)).lexically_normal();
  const fs::path made = fs::path(parent_directory(places.output + "/x")).lexically_normal();
  if (fs::is_directory(parent, ignored) || parent == made) return;
  throw resource_error(file + ": cannot write the report: no directory '" + parent.string() + "'");
}

void write_reports(const ReportPlaces& places, const Json& report) {
  const std::string text = report.dump(2) + "\n";
  if (!places.file.empty()) write_text(places.file, text);
  if (places.json) print_result(text);
}

std::string table_text(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - row[i].size(), ' ');
      line += i == 0 ? row[i] + padding : "  " + padding + row[i];
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

void print_result(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) {
    throw_errno("(stdout)", "cannot write");
  }
}

std::string counted(int64_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

std::string fixed_text(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

}  // namespace hone
