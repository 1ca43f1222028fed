// What a stage tells about its work: a JSON file, a table on stdout.
#pragma once

#include <string>
#include <vector>

#include "libcommon/io/json.h"

namespace hone {

// Writes `report` to `path` whole or not at all (temporary file, rename). Exit 4 on failure.
void write_report(const std::string& path, const Json& report);

// Error(kUsage) where --json would put the report beside the model on standard output.
void check_json_place(bool json, bool dry_run, const std::string& output);

// Columns padded to their widest cell; the first is left-aligned, the others right. First row:
// head.
std::string table_text(const std::vector<std::vector<std::string>>& rows);

// For --dry-run: to stdout, as a table or as JSON.
void print_result(const std::string& text);

// "12.3 %", "4.25": a number with so many decimals.
std::string fixed_text(double value, int decimals);

// A JSON number, or null where it is not finite (JSON has no infinity).
Json finite_or_null(double value);

}  // namespace hone
