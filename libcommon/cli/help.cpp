// --help: usage line, options by group in declaration order, examples, exit codes.
#include <algorithm>

#include "libcommon/cli/texts.h"

namespace hone {
namespace {

constexpr size_t kWidth = 96;
constexpr size_t kIndent = 26;

// Words of `text` in lines of at most kWidth, all but the first indented by `indent`.
std::string wrap(const std::string& text, size_t indent, size_t column) {
  std::string out;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (column > indent && column + 1 + word.size() > kWidth) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    begin = end + 1;
  }
  return out;
}

std::string flag_column(const OptionDecl& option) {
  std::string text = "  ";
  for (const std::string& flag : split_flags(option)) {
    text += (text.size() > 2 ? ", " : "") + flag;
  }
  return option.value.empty() || is_positional(option) ? text : text + " " + option.value;
}

std::string option_lines(const OptionDecl& option) {
  std::string text = flag_column(option);
  if (text.size() + 2 > kIndent) {
    text += "\n" + std::string(kIndent, ' ');
  } else {
    text += std::string(kIndent - text.size(), ' ');
  }
  std::string help = option.help;
  if (!option.choices.empty()) {
    help += " One of:";
    for (const std::string& choice : option.choices) help += " " + choice;
    help += ".";
  }
  if (is_repeatable(option)) help += " May be repeated.";
  return text + wrap(help, kIndent, kIndent) + "\n";
}

std::string usage_line(const ToolDecl& tool) {
  std::string text = "usage: " + tool.name + " [OPTIONS]";
  for (const OptionDecl& option : tool.options) {
    if (!is_positional(option)) continue;
    text += option.required ? " " + option.flags : " [" + option.flags + "]";
  }
  return text + "\n";
}

std::vector<std::string> groups(const std::vector<OptionDecl>& options) {
  std::vector<std::string> names;
  for (const OptionDecl& option : options) {
    if (std::find(names.begin(), names.end(), option.group) == names.end()) {
      names.push_back(option.group);
    }
  }
  return names;
}

}  // namespace

std::string help_text(const ToolDecl& tool) {
  std::string text = tool.name + ": " + tool.summary + "\n\n" + usage_line(tool) + "\n" +
                     wrap(tool.description, 0, 0) + "\n";
  for (const std::string& group : groups(tool.options)) {
    text += "\n" + group + ":\n";
    for (const OptionDecl& option : tool.options) {
      if (option.group == group) text += option_lines(option);
    }
  }
  if (!tool.examples.empty()) text += "\nExamples:\n";
  for (const Example& example : tool.examples) {
    text += "  " + example.command + "\n      " + wrap(example.explanation, 6, 6) + "\n";
  }
  text += "\nExit codes:";
  for (const ExitCodeRow& row : kExitCodes) {
    text += "\n  " + std::to_string(static_cast<int>(row.code));
    text += std::string(6 - std::to_string(static_cast<int>(row.code)).size(), ' ') + row.meaning;
  }
  return text + "\n";
}

}  // namespace hone
