#include "libcommon/base/log.h"

#include <unistd.h>

#include <cstdio>

#include "libcommon/base/utf8.h"

namespace hone {
namespace {

std::string program_name = "hone";
bool verbose_on = false;
bool muted_on = false;

void say(std::string_view prefix, const std::string& text) {
  if (muted_on) return;
  // One write per line: stages of a pipe share a terminal. Names in it may hold anything.
  const std::string line = program_name + ": " + std::string(prefix) + printable(text) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace

void set_log_program(std::string_view name) { program_name = name; }
void set_verbose(bool on) { verbose_on = on; }
bool verbose() { return verbose_on; }
void set_muted(bool on) { muted_on = on; }
bool muted() { return muted_on; }

void log_warning(const std::string& text) { say("warning: ", text); }
void log_note(const std::string& text) { say("", text); }
void log_verbose(const std::string& text) {
  if (verbose_on) say("", text);
}

Progress::Progress(std::string label, int64_t total_bytes)
    : label_(std::move(label)),
      total_(total_bytes),
      visible_(!muted_on && isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (visible_ && drawn_percent_ >= 0) std::fputs("\r\033[K", stderr);
}

void Progress::advance(int64_t bytes) {
  done_ += bytes;
  if (visible_) draw();
}

void Progress::draw() {
  const int64_t percent = total_ > 0 ? done_ * 100 / total_ : 100;
  if (percent == drawn_percent_) return;
  drawn_percent_ = percent;
  std::fprintf(stderr, "\r%s: %s %3d %%", program_name.c_str(), label_.c_str(),
               static_cast<int>(percent));
}

std::string human_bytes(double bytes) {
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  int unit = 0;
  while (bytes >= 999.5 && unit < 4) {
    bytes /= 1000;
    ++unit;
  }
  char text[32];
  const int decimals = unit == 0 ? 0 : bytes < 9.995 ? 2 : bytes < 99.95 ? 1 : 0;
  std::snprintf(text, sizeof text, "%.*f %s", decimals, bytes, kUnits[unit]);
  return text;
}

}  // namespace hone
