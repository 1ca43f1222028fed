// Many prompts from a file, one JSON object a line:
//   {"prompt": "Once upon a time", "id": "a", "max_tokens": 64, "temperature": 0.8, "seed": 3,
//    "stop": ["."]}
// or {"token_ids": [1, 2, 3], ...}. What a line leaves out comes from the command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/io/json.h"

namespace hone {

struct Prompt {
  Json id;  // as given; else the line's number from 1
  std::string text;
  std::vector<int32_t> token_ids;  // instead of text
  std::optional<int64_t> max_tokens;
  std::optional<double> temperature;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
};

// Empty lines are skipped. Throws Error("FILE: line N: ...") for bad JSON, unknown keys, neither or
// both of prompt and token_ids.
std::vector<Prompt> parse_prompts(std::string_view jsonl, const std::string& subject);

// "1,2,3" or "1 2 3".
std::vector<int32_t> parse_token_ids(const std::string& text, const std::string& option);

}  // namespace hone
