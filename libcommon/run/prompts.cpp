#include "libcommon/run/prompts.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <sstream>

#include "libcommon/base/error.h"
#include "libcommon/chat/chat_template.h"

namespace hone {
namespace {

[[noreturn]] void refuse(const std::string& subject, const std::string& key, const char* wanted) {
  throw Error(subject + ": '" + key + "' must be " + wanted);
}

int64_t natural(const Json& value, const std::string& subject, const std::string& key) {
  if (!value.is_number_integer() || value.get<int64_t>() < 0) {
    refuse(subject, key, "an integer, 0 or more");
  }
  return value.get<int64_t>();
}

std::vector<int32_t> id_list(const Json& value, const std::string& subject) {
  if (!value.is_array()) refuse(subject, "token_ids", "a list of integers");
  std::vector<int32_t> ids;
  for (const Json& id : value) {
    const int64_t wide = natural(id, subject, "token_ids");
    if (wide > std::numeric_limits<int32_t>::max()) refuse(subject, "token_ids", "token ids");
    ids.push_back(static_cast<int32_t>(wide));
  }
  if (ids.empty()) refuse(subject, "token_ids", "at least one id");
  return ids;
}

std::vector<std::string> string_list(const Json& value, const std::string& subject) {
  if (value.is_string()) return {value.get<std::string>()};
  std::vector<std::string> strings;
  if (!value.is_array()) refuse(subject, "stop", "a string or a list of strings");
  for (const Json& each : value) {
    if (!each.is_string()) refuse(subject, "stop", "a string or a list of strings");
    strings.push_back(each.get<std::string>());
  }
  return strings;
}

void set_field(Prompt& prompt, const std::string& key, const Json& value,
               const std::string& subject) {
  if (key == "id") {
    prompt.id = value;
  } else if (key == "prompt") {
    if (!value.is_string()) refuse(subject, key, "a string");
    prompt.text = value.get<std::string>();
  } else if (key == "token_ids") {
    prompt.token_ids = id_list(value, subject);
  } else if (key == "messages") {
    check_messages(value, subject + ": 'messages'");
    prompt.messages = value;
  } else if (key == "max_tokens") {
    prompt.max_tokens = natural(value, subject, key);
  } else if (key == "temperature") {
    if (!value.is_number()) refuse(subject, key, "a number");
    prompt.temperature = value.get<double>();
  } else if (key == "seed") {
    prompt.seed = static_cast<uint64_t>(natural(value, subject, key));
  } else if (key == "stop") {
    prompt.stop = string_list(value, subject);
  } else {
    throw Error(subject + ": key '" + key +
                "' is not known; known: prompt, token_ids, messages, id, max_tokens, temperature, "
                "seed, stop");
  }
}

Prompt parse_line(std::string_view line, const std::string& subject) {
  const Json object = parse_json(line, subject);
  if (!object.is_object()) throw Error(subject + ": not a JSON object");
  const auto given = [&](const char* key) { return object.contains(key) ? 1 : 0; };
  if (given("prompt") + given("token_ids") + given("messages") != 1) {
    throw Error(subject + ": needs one of 'prompt', 'token_ids' and 'messages'");
  }
  Prompt prompt;
  for (const auto& [key, value] : object.items()) set_field(prompt, key, value, subject);
  return prompt;
}

}  // namespace

std::vector<Prompt> parse_prompts(std::string_view jsonl, const std::string& subject) {
  std::vector<Prompt> prompts;
  int64_t number = 0;
  while (!jsonl.empty()) {
    const size_t end = std::min(jsonl.find('\n'), jsonl.size());
    const std::string_view line = jsonl.substr(0, end);
    jsonl.remove_prefix(std::min(end + 1, jsonl.size()));
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    prompts.push_back(parse_line(line, subject + ": line " + std::to_string(number)));
    if (prompts.back().id.is_null()) prompts.back().id = number;
  }
  return prompts;
}

std::vector<Prompt> share_of(const std::vector<Prompt>& prompts, const Shard& shard) {
  std::vector<Prompt> own;
  for (auto i = static_cast<size_t>(shard.rank); i < prompts.size();
       i += static_cast<size_t>(shard.count)) {
    own.push_back(prompts[i]);
  }
  return own;
}

std::string lines_in_order(const std::vector<std::string>& shares) {
  std::vector<std::istringstream> readers;
  for (const std::string& share : shares) readers.emplace_back(share);
  std::string lines;
  std::string line;
  for (size_t i = 0; std::getline(readers[i % readers.size()], line); ++i) lines += line + "\n";
  return lines;
}

std::vector<int32_t> parse_token_ids(const std::string& text, const std::string& option) {
  std::vector<int32_t> ids;
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto skip_spaces = [&] { at = std::find_if(at, end, [](char c) { return c != ' '; }); };
  for (bool comma = false; skip_spaces(), comma || at < end; skip_spaces()) {
    int32_t id = 0;
    const auto [next, fault] = std::from_chars(at, end, id);
    if (fault != std::errc() || id < 0 || (next < end && *next != ',' && *next != ' ')) {
      throw usage_error(option + " '" + text + "': not a list of numbers, as in 1,2,3");
    }
    ids.push_back(id);
    at = next;
    skip_spaces();
    comma = at < end && *at == ',';
    at += comma;
  }
  return ids;
}

}  // namespace hone
