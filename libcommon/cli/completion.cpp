// Shell completions: options, their fixed choices, and file names everywhere else.
#include "libcommon/cli/texts.h"

namespace hone {
namespace {

// '...' for the shell, with inner quotes as '\''.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string joined(const std::vector<std::string>& words, const std::string& separator) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : separator) + word;
  return out;
}

std::string first_sentence(const std::string& text) {
  const size_t dot = text.find_first_of(".;");
  return dot == std::string::npos ? text : text.substr(0, dot);
}

std::string bash_script(const ToolDecl& tool) {
  std::string function = "_" + tool.name;
  for (char& c : function) c = c == '-' ? '_' : c;
  std::vector<std::string> flags;
  std::string cases;
  for (const OptionDecl& option : tool.options) {
    if (is_positional(option)) continue;
    const std::vector<std::string> names = split_flags(option);
    flags.insert(flags.end(), names.begin(), names.end());
    if (option.choices.empty()) continue;
    cases += "    " + joined(names, "|") + ") COMPREPLY=($(compgen -W " +
             quoted(joined(option.choices, " ")) + " -- \"$word\")); return;;\n";
  }
  return function + "() {\n  local word=\"${COMP_WORDS[COMP_CWORD]}\"\n" +
         "  case \"${COMP_WORDS[COMP_CWORD-1]}\" in\n" + cases + "  esac\n" +
         "  if [[ \"$word\" == -* ]]; then\n    COMPREPLY=($(compgen -W " +
         quoted(joined(flags, " ")) + " -- \"$word\"))\n  else\n" +
         "    COMPREPLY=($(compgen -f -- \"$word\"))\n  fi\n}\n" + "complete -o filenames -F " +
         function + " " + tool.name + "\n";
}

// zsh's _arguments reads ':', '[' and ']' in descriptions as its own.
std::string zsh_escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == ':' || c == '[' || c == ']') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_script(const ToolDecl& tool) {
  std::string text = "#compdef " + tool.name + "\n_arguments -s";
  for (const OptionDecl& option : tool.options) {
    if (is_positional(option)) continue;
    std::string action;
    if (!is_switch(option)) {
      action = ":" + zsh_escaped(option.value) + ":" +
               (option.choices.empty() ? "_files" : "(" + joined(option.choices, " ") + ")");
    }
    for (const std::string& flag : split_flags(option)) {
      text += " \\\n  " + quoted((is_repeatable(option) ? "*" : "") + flag + "[" +
                                 zsh_escaped(first_sentence(option.help)) + "]" + action);
    }
  }
  return text + " \\\n  '*:file:_files'\n";
}

std::string fish_script(const ToolDecl& tool) {
  std::string text;
  for (const OptionDecl& option : tool.options) {
    if (is_positional(option)) continue;
    text += "complete -c " + tool.name;
    for (const std::string& flag : split_flags(option)) {
      text += flag.starts_with("--") ? " -l " + flag.substr(2) : " -s " + flag.substr(1);
    }
    if (!is_switch(option)) text += " -r";
    if (!option.choices.empty()) text += " -f -a " + quoted(joined(option.choices, " "));
    text += " -d " + quoted(first_sentence(option.help)) + "\n";
  }
  return text;
}

}  // namespace

std::string completion_script(const ToolDecl& tool, const std::string& shell) {
  if (shell == "bash") return bash_script(tool);
  if (shell == "zsh") return zsh_script(tool);
  if (shell == "fish") return fish_script(tool);
  throw usage_error("--hone-completion '" + shell + "': bash, zsh and fish are known");
}

}  // namespace hone
