#include "libcommon/bench/report.h"

#include <algorithm>
#include <cstdio>

namespace hone {
namespace {

std::string cell(const Json& row, const ReportColumn& column) {
  const auto found = row.find(column.key);
  if (found == row.end()) return "-";
  if (found->is_null()) return "n/a";
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_number() || column.decimals < 0) return found->dump();
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", column.decimals, found->get<double>());
  return text;
}

std::string csv_quoted(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string out = "\"";
  for (char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

std::string csv_text(const std::vector<std::vector<std::string>>& cells) {
  std::string out;
  for (const auto& row : cells) {
    for (size_t i = 0; i < row.size(); ++i) out += (i == 0 ? "" : ",") + csv_quoted(row[i]);
    out += "\n";
  }
  return out;
}

// First column flush left, the others flush right.
std::string padded(const std::string& text, size_t width, bool left) {
  const std::string fill(width > text.size() ? width - text.size() : 0, ' ');
  return left ? text + fill : fill + text;
}

std::string aligned_text(const std::vector<std::vector<std::string>>& cells, bool markdown) {
  std::vector<size_t> widths(cells.front().size(), 3);
  for (const auto& row : cells) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (size_t r = 0; r < cells.size(); ++r) {
    out += markdown ? "|" : "";
    for (size_t i = 0; i < widths.size(); ++i) {
      out += (markdown || i > 0 ? " " : "") + padded(cells[r][i], widths[i], i == 0);
      out += markdown ? " |" : i + 1 < widths.size() ? " " : "";
    }
    out += "\n";
    if (r > 0 || !markdown) continue;
    out += "|";
    for (size_t i = 0; i < widths.size(); ++i) {
      out += std::string(widths[i] + 1, '-') + (i == 0 ? "-|" : ":|");
    }
    out += "\n";
  }
  return out;
}

}  // namespace

std::string report_text(const std::vector<ReportColumn>& columns, const std::vector<Json>& rows,
                        ReportFormat format) {
  std::vector<std::vector<std::string>> cells(1);
  for (const ReportColumn& column : columns) {
    cells[0].push_back(format == ReportFormat::kCsv ? column.key : column.title);
  }
  for (const Json& row : rows) {
    cells.emplace_back();
    for (const ReportColumn& column : columns) cells.back().push_back(cell(row, column));
  }
  if (format == ReportFormat::kCsv) return csv_text(cells);
  return aligned_text(cells, format == ReportFormat::kMarkdown);
}

}  // namespace hone
