// Texts generated from a tool's declaration: help, man page, shell completions.
#pragma once

#include <string>

#include "libcommon/cli/tool.h"

namespace hone {

std::string help_text(const ToolDecl& tool);
std::string man_page(const ToolDecl& tool);
// shell: "bash", "zsh" or "fish"; usage error for another.
std::string completion_script(const ToolDecl& tool, const std::string& shell);

struct ExitCodeRow {
  ExitCode code;
  const char* meaning;
};
inline constexpr ExitCodeRow kExitCodes[] = {
    {ExitCode::kOk, "success"},
    {ExitCode::kVerdict, "a negative verdict: a regression, or fused and unfused results differ"},
    {ExitCode::kUsage, "options that do not fit"},
    {ExitCode::kBadInput, "a file or stream that is not what it should be"},
    {ExitCode::kResource, "I/O, memory or disk space failed"},
    {ExitCode::kInterrupted, "interrupted"},
    {ExitCode::kPipeClosed, "the reader of the output went away"},
};

}  // namespace hone
