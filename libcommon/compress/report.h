// What a stage tells about its work: a JSON file, a table on stdout.
#pragma once

#include <string>
#include <vector>

#include "libcommon/io/json.h"

namespace hone {

// Where a stage's report goes.
struct ReportPlaces {
  std::string file;    // --report; "": none, "-": stdout
  bool json = false;   // --json: stdout
  std::string output;  // -o, the model's own place
  bool dry_run = false;
};

// Before the work: Error where the report would lie beside the model on standard output (usage) or
// where no file can be. A directory that the stage itself makes may be one.
void check_report_places(const ReportPlaces& places);
void write_reports(const ReportPlaces& places, const Json& report);

// Columns padded to their widest cell; the first is left-aligned, the others right. First row:
// head.
std::string table_text(const std::vector<std::vector<std::string>>& rows);

// For --dry-run: to stdout, as a table or as JSON.
void print_result(const std::string& text);

// "1 tensor", "28 tensors".
std::string counted(int64_t count, const std::string& noun);

// "12.3 %", "4.25": a number with so many decimals.
std::string fixed_text(double value, int decimals);

// A JSON number, or null where it is not finite (JSON has no infinity).
Json finite_or_null(double value);

}  // namespace hone
