#include "libcommon/chat/chat_template.h"

#include "libcommon/base/error.h"
#include "libcommon/chat/interpreter.h"
#include "libcommon/text/side_files.h"

namespace hone {
namespace {

// bos_token and the other named tokens of a model's configuration.
Json named_tokens(const SideFiles& files, const std::string& subject) {
  Json tokens = Json::object();
  for (const char* file : {"special_tokens_map.json", "tokenizer_config.json"}) {
    const std::optional<Json> config = parse_side_file(files, file, subject);
    if (!config || !config->is_object()) continue;
    for (const auto& [key, value] : config->items()) {
      if (!key.ends_with("_token")) continue;
      if (const std::string token = named_token(*config, key.c_str()); !token.empty()) {
        tokens[key] = token;
      }
    }
  }
  return tokens;
}

}  // namespace

ChatTemplate::ChatTemplate(const std::string& source, Json variables, std::string subject)
    : subject_(std::move(subject)), variables_(std::move(variables)) {
  try {
    block_ = chat::parse_template(source);
  } catch (const Error& fault) {
    throw Error(subject_ + ": " + fault.what());
  }
}

std::optional<ChatTemplate> ChatTemplate::from_files(const SideFiles& files,
                                                     const std::string& subject) {
  const std::optional<std::string> source = chat_template_text(files, subject);
  if (!source) return std::nullopt;
  return with_tokens_of(files, *source, subject + ": chat template");
}

ChatTemplate ChatTemplate::with_tokens_of(const SideFiles& files, const std::string& source,
                                          const std::string& subject) {
  return ChatTemplate(source, named_tokens(files, subject), subject);
}

std::string ChatTemplate::prompt(const Json& messages, const Json& more) const {
  chat::Dict variables;
  for (const char* absent : {"tools", "documents"}) variables.set(absent, chat::None{});
  for (const Json* source : {&variables_, &more}) {
    for (const auto& [name, value] : source->items()) {
      variables.set(name, chat::from_json(value));
    }
  }
  variables.set("messages", chat::from_json(messages));
  variables.set("add_generation_prompt", true);
  try {
    return chat::run_template(block_, variables);
  } catch (const Error& fault) {
    throw Error(subject_ + ": " + fault.what());
  }
}

void check_messages(const Json& messages, const std::string& subject) {
  if (!messages.is_array() || messages.empty()) {
    throw Error(subject + ": must be a list of messages, [{\"role\": \"user\", \"content\": ...}]");
  }
  for (const Json& message : messages) {
    if (!message.is_object() || !message.value("role", Json()).is_string()) {
      throw Error(subject + ": a message has no role: " + message.dump().substr(0, 80));
    }
  }
}

}  // namespace hone
