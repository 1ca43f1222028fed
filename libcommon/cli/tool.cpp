// The frame of every program: parse, run, one line for an error, an honest exit code.
#include "libcommon/cli/tool.h"

#include <stdio_ext.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <thread>

#include "kernels/out_of_device_memory.h"
#include "libcommon/base/log.h"
#include "libcommon/base/utf8.h"
#include "libcommon/cli/texts.h"
#include "libcommon/ranks/launch.h"

namespace hone {
namespace {

constexpr char kOutOfMemory[] =
    "out of memory; try --max-memory, a smaller --ctx or a smaller model";

std::string recorded_history;

void bind(CLI::App& app, const OptionDecl& option) {
  const std::string& flags = option.flags;
  if (bool* const* on = std::get_if<bool*>(&option.target)) {
    app.add_flag(flags, **on, option.help);
    return;
  }
  CLI::Option* bound = std::visit(
      [&](auto* target) -> CLI::Option* {
        if constexpr (std::is_same_v<decltype(target), bool*>)
          return nullptr;
        else
          return app.add_option(flags, *target, option.help);
      },
      option.target);
  bound->required(option.required);
  if (is_repeatable(option) && !is_positional(option)) bound->allow_extra_args(false);
}

// Paths by their last component: the same work on another machine leaves the same bytes.
std::string last_component(const std::string& value) {
  const size_t end = value.find_last_not_of('/');
  if (end == std::string::npos) return value;
  const size_t slash = value.find_last_of('/', end);
  return slash == std::string::npos ? value.substr(0, end + 1)
                                    : value.substr(slash + 1, end - slash);
}

std::string quoted_word(const std::string& word) {
  if (!word.empty() && word.find_first_of(" \t\n'\"\\$|&;()<>*?[]#~") == std::string::npos)
    return word;
  std::string out = "'";
  for (char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// Only what was given and can change the result, in declaration order; one line of UTF-8 whatever
// files are called.
std::string history_of(const ToolDecl& tool, const CLI::App& app) {
  std::string line = tool.name + " " HONE_VERSION;
  for (const OptionDecl& option : tool.options) {
    if (!option.in_history) continue;
    const std::string flag = split_flags(option).back();
    const CLI::Option* given = app.get_option_no_throw(flag);
    if (given == nullptr || given->count() == 0) continue;
    if (is_switch(option)) line += " " + flag;
    if (is_switch(option)) continue;
    for (const std::string& value : given->results()) {
      if (is_positional(option) && value == "-") continue;
      line += (is_positional(option) ? " " : " " + flag + " ") + quoted_word(last_component(value));
    }
  }
  return printable(line);
}

// The parser takes what is beyond int64 for the largest one.
bool fits_int64(const std::string& digits) {
  errno = 0;
  std::strtoll(digits.c_str(), nullptr, 0);
  return errno != ERANGE;
}

void check_integer(const OptionDecl& option, const std::vector<std::string>& given) {
  int64_t* const* value = std::get_if<int64_t*>(&option.target);
  if (value == nullptr) return;
  const std::string flag = split_flags(option).back();
  for (const std::string& digits : given) {
    if (!fits_int64(digits)) throw usage_error(flag + " " + digits + ": does not fit 64 bits");
  }
  if (**value >= option.least) return;
  throw usage_error(flag + " " + std::to_string(**value) + ": must be at least " +
                    std::to_string(option.least));
}

void check_choice(const OptionDecl& option, const std::vector<std::string>& given) {
  if (option.choices.empty() || option.other_choices) return;
  std::string known;
  for (const std::string& choice : option.choices) known += (known.empty() ? "" : ", ") + choice;
  for (const std::string& value : given) {
    if (std::ranges::find(option.choices, value) != option.choices.end()) continue;
    throw usage_error(split_flags(option).back() + " '" + value +
                      "' is not known; known: " + known);
  }
}

// Nothing that was asked for is silently left out.
void check_company(const OptionDecl& option, const CLI::App& app) {
  const std::string flag = split_flags(option).back();
  const auto given = [&app](const std::string& name) { return app.get_option(name)->count() > 0; };
  if (!given(flag)) return;
  if (!option.needs.empty() && !given(option.needs)) {
    throw usage_error(flag + " needs " + option.needs);
  }
  for (const std::string& other : option.without) {
    if (given(other)) throw usage_error(flag + " has no meaning with " + other);
  }
}

// Answers --help, --version and the hidden switches; false: go on.
bool answer_standard(const ToolDecl& tool, int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    std::string text;
    if (word == "--") return false;
    if (word == "-h" || word == "--help") text = help_text(tool);
    if (word == "--version") text = tool.name + " " HONE_VERSION "\n";
    if (word == "--hone-man") text = man_page(tool);
    if (word == "--hone-completion")
      text = completion_script(tool, i + 1 < argc ? argv[i + 1] : "");
    if (text.empty()) continue;
    std::fputs(text.c_str(), stdout);
    return true;
  }
  return false;
}

void parse(const ToolDecl& tool, int argc, char** argv) {
  CLI::App app(tool.summary, tool.name);
  app.set_help_flag();
  for (const OptionDecl& option : tool.options) bind(app, option);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    throw usage_error(std::string(error.what()) + " (see " + tool.name + " --help)");
  }
  for (const OptionDecl& option : tool.options) {
    const CLI::Option& bound = *app.get_option(split_flags(option).back());
    if (option.given) *option.given = bound.count() > 0;
    check_integer(option, bound.results());
    check_choice(option, bound.results());
  }
  for (const OptionDecl& option : tool.options) check_company(option, app);
  recorded_history = history_of(tool, app);
}

// A full disk behind stdout is noticed here at the latest. A closed one is no fault of a program
// that had nothing to say there.
void close_stdout() {
  const bool failed = std::ferror(stdout) != 0;
  const bool silent = !failed && __fpending(stdout) == 0;
  if (std::fclose(stdout) == 0 && !failed) return;
  if (!silent || errno != EBADF) throw_errno("standard output", "write failed");
}

// Of processes that have the same fault (mute_others()) the first speaks, and the launcher ends the
// rest when it has left. Who is still there after a while has a fault of its own.
void let_the_first_speak() {
  constexpr std::chrono::seconds kPatience(5);
  if (!muted()) return;
  std::this_thread::sleep_for(kPatience);
  set_muted(false);
}

ExitCode report(const std::string& text, ExitCode code) {
  let_the_first_speak();
  if (code != ExitCode::kPipeClosed) log_note(text);
  return code;
}

// Runs `body`; every fault of the outside world becomes one line and a code here.
ExitCode guarded(const std::function<ExitCode()>& body) {
  try {
    return body();
  } catch (const Error& error) {
    return report(error.what(), error.code());
  } catch (const OutOfDeviceMemory& error) {
    return report(error.what(), ExitCode::kResource);
  } catch (const std::bad_alloc&) {
    return report(kOutOfMemory, ExitCode::kResource);
  } catch (const std::length_error&) {  // a vector of more bytes than there are addresses
    return report(kOutOfMemory, ExitCode::kResource);
  } catch (const std::runtime_error& error) {  // threads, std::filesystem, a GPU and its libraries
    return report(error.what(), ExitCode::kResource);
  }
}

}  // namespace

std::string history_line() { return recorded_history; }

void require_piped_stdin() {
  if (isatty(STDIN_FILENO) == 1) {
    throw usage_error("no model: give a path, or pipe one in (standard input is a terminal)");
  }
}

int run_tool(ToolDecl tool, int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  set_log_program(tool.name);
  for (OptionDecl& option : standard_options()) tool.options.push_back(std::move(option));
  ToolDecl parsed = tool;  // without --help and --version, which are answered before parsing
  parsed.options.resize(tool.options.size() - standard_options().size());
  ExitCode code = guarded([&] {
    if (answer_standard(tool, argc, argv)) return ExitCode::kOk;
    mute_others();
    parse(parsed, argc, argv);
    set_muted(false);
    return parsed.run();
  });
  if (code != ExitCode::kOk && code != ExitCode::kVerdict) return static_cast<int>(code);
  const ExitCode closing = guarded([] {
    close_stdout();
    return ExitCode::kOk;
  });
  return static_cast<int>(closing == ExitCode::kOk ? code : closing);
}

}  // namespace hone
