// The man page, in man(7)'s roff, from the same declaration as --help.
#include "libcommon/cli/texts.h"

namespace hone {
namespace {

// Roff reads '\', '-' and a leading '.' or ''' as its own.
std::string roff(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) {
      out += std::string("\\&") + c;
    } else {
      out += c;
    }
  }
  return out;
}

std::string option_entry(const OptionDecl& option) {
  std::string flags;
  for (const std::string& flag : split_flags(option)) {
    flags += (flags.empty() ? "" : ", ") + std::string("\\fB") + roff(flag) + "\\fR";
  }
  if (!option.value.empty() && !is_positional(option))
    flags += " \\fI" + roff(option.value) + "\\fR";
  std::string text = ".TP\n" + flags + "\n" + roff(option.help);
  if (!option.choices.empty()) {
    text += " One of:";
    for (const std::string& choice : option.choices) text += " \\fB" + roff(choice) + "\\fR";
    text += ".";
  }
  return text + (is_repeatable(option) ? " May be repeated.\n" : "\n");
}

std::string synopsis(const ToolDecl& tool) {
  std::string text = ".B " + roff(tool.name) + "\n[\\fIOPTIONS\\fR]";
  for (const OptionDecl& option : tool.options) {
    if (is_positional(option)) text += " [\\fI" + roff(option.flags) + "\\fR]";
  }
  return text + "\n";
}

}  // namespace

std::string man_page(const ToolDecl& tool) {
  std::string text = ".TH " + roff(tool.name) + " 1 \"\" \"hone " HONE_VERSION "\" \"hone\"\n";
  text += ".SH NAME\n" + roff(tool.name) + " \\- " + roff(tool.summary) + "\n";
  text += ".SH SYNOPSIS\n" + synopsis(tool);
  text += ".SH DESCRIPTION\n" + roff(tool.description) + "\n.SH OPTIONS\n";
  for (const OptionDecl& option : tool.options) text += option_entry(option);
  text += ".SH EXIT STATUS\n";
  for (const ExitCodeRow& row : kExitCodes) {
    text += ".TP\n\\fB" + std::to_string(static_cast<int>(row.code)) + "\\fR\n" +
            roff(row.meaning) + "\n";
  }
  text += ".SH EXAMPLES\n";
  for (const Example& example : tool.examples) {
    text += ".TP\n\\fB" + roff(example.command) + "\\fR\n" + roff(example.explanation) + "\n";
  }
  text += ".SH SEE ALSO\n";
  static constexpr const char* kTools[] = {"hone-prune", "hone-quantize", "hone-fuse-check",
                                           "hone-generate", "hone-benchmark"};
  std::string others;
  for (const char* other : kTools) {
    if (tool.name != other) others += (others.empty() ? "" : ", ") + roff(other) + "(1)";
  }
  return text + others + "\n";
}

}  // namespace hone
