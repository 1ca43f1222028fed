// Whole files that a user names: prompts, texts, baselines.
#pragma once

#include <string>

namespace hone {

// All bytes of a file; "-" is standard input. Throws Error (exit 4) where it cannot be read.
std::string read_file(const std::string& path);

}  // namespace hone
