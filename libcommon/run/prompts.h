// Many prompts from a file, one JSON object a line:
//   {"prompt": "Once upon a time", "id": "a", "max_tokens": 64, "temperature": 0.8, "seed": 3,
//    "stop": ["."]}
// or {"token_ids": [1, 2, 3], ...} or {"messages": [{"role": "user", "content": "Hi"}], ...}. What
// a line leaves out comes from the command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/io/json.h"
#include "libcommon/ranks/shard.h"

namespace hone {

struct Prompt {
  Json id;  // as given; else the line's number from 1
  std::string text;
  bool special_tokens = true;      // whether the tokenizer adds its own around the text
  std::vector<int32_t> token_ids;  // instead of text
  Json messages;                   // a conversation, as text once chat.h has written it out
  std::vector<int32_t> known;      // see GenerateRequest
  std::optional<int64_t> max_tokens;
  std::optional<double> temperature;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
};

// Empty lines are skipped. Throws Error("FILE: line N: ...") for bad JSON, unknown keys, not just
// one of prompt, token_ids and messages.
std::vector<Prompt> parse_prompts(std::string_view jsonl, const std::string& subject);

// Of prompts spread over ranks, those of one: each takes every n-th.
std::vector<Prompt> share_of(const std::vector<Prompt>& prompts, const Shard& shard);
// What the ranks made of their shares, a line for each prompt: all lines in the prompts' order.
std::string lines_in_order(const std::vector<std::string>& shares);

// "1,2,3" or "1 2 3".
std::vector<int32_t> parse_token_ids(const std::string& text, const std::string& option);

}  // namespace hone
