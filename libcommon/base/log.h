// Messages for people, on stderr: "hone-prune: warning: ...". Results never go here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hone {

// Set once by run_tool: the program's name before each line, and how much is said.
void set_log_program(std::string_view name);
void set_verbose(bool on);
bool verbose();
// Of several processes that do one work, one speaks.
void set_muted(bool on);
bool muted();

void log_warning(const std::string& text);
void log_note(const std::string& text);     // always
void log_verbose(const std::string& text);  // with -v only

// A bar or counter on one line of a terminal; silent where stderr is no terminal.
class Progress {
 public:
  Progress(std::string label, int64_t total_bytes);
  ~Progress();
  void advance(int64_t bytes);

 private:
  void draw();
  std::string label_;
  int64_t total_;
  int64_t done_ = 0;
  int64_t drawn_percent_ = -1;
  bool visible_;
};

// "1.53 GB", "12.0 kB": decimal units, three digits.
std::string human_bytes(double bytes);

}  // namespace hone
