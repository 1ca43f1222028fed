// A benchmark's result is one list of rows; each output format is a pure function of it.
#pragma once

#include <string>
#include <vector>

#include "libcommon/io/json.h"

namespace hone {

enum class ReportFormat { kTable, kMarkdown, kCsv };

struct ReportColumn {
  std::string key;    // of the row's JSON object
  std::string title;  // "tokens/s"
  int decimals = -1;  // numbers; -1: as text or integer
};

// Rows are JSON objects; a missing key prints as "-", null as "n/a". The table is aligned for a
// terminal.
std::string report_text(const std::vector<ReportColumn>& columns, const std::vector<Json>& rows,
                        ReportFormat format);

}  // namespace hone
