// The frame of every program: option binding, generated texts, exit codes, history.
#include "libcommon/cli/tool.h"

#include <doctest/doctest.h>

#include "libcommon/cli/texts.h"

using namespace hone;

namespace {

struct Values {
  bool flag = false;
  std::string text = "-";
  int64_t number = 7;
  double real = 0;
  std::vector<std::string> many;
  std::string choice = "a";
};

ToolDecl sample_tool(Values& values, std::function<ExitCode()> run) {
  return {
      .name = "hone-sample",
      .summary = "a tool for tests",
      .description = "It does nothing.",
      .options = {{.flags = "MODEL", .value = "", .help = "Input.", .target = &values.text},
                  {.flags = "-f,--flag", .value = "", .help = "A switch.", .target = &values.flag},
                  {.flags = "--number", .value = "N", .help = "A count.", .target = &values.number},
                  {.flags = "--real", .value = "X", .help = "A number.", .target = &values.real},
                  {.flags = "--set", .value = "R", .help = "Many.", .target = &values.many},
                  {.flags = "--choice",
                   .value = "C",
                   .help = "One of two.",
                   .target = &values.choice,
                   .choices = {"a", "b"},
                   .in_history = false}},
      .examples = {{"hone-sample x", "Does nothing with x."}},
      .run = std::move(run)};
}

}  // namespace

TEST_CASE("sizes are read with binary and decimal units") {
  CHECK(parse_bytes("1", "--x") == 1);
  CHECK(parse_bytes("8G", "--x") == int64_t{8} << 30);
  CHECK(parse_bytes("8GiB", "--x") == int64_t{8} << 30);
  CHECK(parse_bytes("300MB", "--x") == 300'000'000);
  CHECK(parse_bytes("1.5k", "--x") == 1536);
  CHECK(parse_bytes("1e9", "--x") == 1'000'000'000);
  for (const char* bad : {"", "G", "-1", "0", "5%", "8X", "8GG", "nan", "1e30"}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(parse_bytes(bad, "--x"), Error);
  }
}

TEST_CASE("flags are split and classified") {
  Values values;
  const ToolDecl tool = sample_tool(values, [] { return ExitCode::kOk; });
  CHECK(is_positional(tool.options[0]));
  CHECK(split_flags(tool.options[1]) == std::vector<std::string>{"-f", "--flag"});
  CHECK(is_switch(tool.options[1]));
  CHECK(is_repeatable(tool.options[4]));
}

TEST_CASE("help, man page and completions name every option, choice, example and exit code") {
  Values values;
  const ToolDecl tool = sample_tool(values, [] { return ExitCode::kOk; });
  const std::string help = help_text(tool);
  const std::string man = man_page(tool);
  for (const std::string& text :
       {help, completion_script(tool, "bash"), completion_script(tool, "zsh")}) {
    for (const char* flag : {"--flag", "--number", "--set", "--choice"}) {
      CAPTURE(text);
      CHECK(text.find(flag) != std::string::npos);
    }
  }
  CHECK(completion_script(tool, "fish").find("-l number") != std::string::npos);
  CHECK(man.find("\\-\\-number") != std::string::npos);
  CHECK(help.find("hone-sample x") != std::string::npos);
  CHECK(help.find("141") != std::string::npos);
  CHECK(completion_script(tool, "bash").find("'a b'") != std::string::npos);
  CHECK_THROWS_AS(completion_script(tool, "csh"), Error);
}
