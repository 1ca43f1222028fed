#include "libcommon/run/chat.h"

#include "libcommon/base/error.h"

namespace hone {
namespace {

ChatTemplate template_for(const std::map<std::string, std::string>& files,
                          const std::string& subject, const ChatOptions& options) {
  if (!options.template_file.empty()) {
    return ChatTemplate::with_tokens_of(files, options.template_source, options.template_file);
  }
  std::optional<ChatTemplate> own = ChatTemplate::from_files(files, subject);
  if (!own) {
    throw Error(subject + ": has no chat template; a base model? --chat-template FILE gives one");
  }
  return *std::move(own);
}

}  // namespace

Chat::Chat(const std::map<std::string, std::string>& files, const std::string& subject,
           ChatOptions options)
    : options_(std::move(options)), template_(template_for(files, subject, options_)) {}

Prompt Chat::prompt(Json messages) const {
  if (!options_.system.empty()) {
    const Json system = {{"role", "system"}, {"content", options_.system}};
    messages.insert(messages.begin(), system);
  }
  Prompt prompt;
  prompt.text = template_.prompt(messages, options_.variables);
  prompt.special_tokens = false;
  return prompt;
}

void Chat::write_out(std::vector<Prompt>& prompts) const {
  for (Prompt& each : prompts) {
    if (each.messages.is_null()) continue;
    const Prompt written = prompt(std::exchange(each.messages, nullptr));
    each.text = written.text;
    each.special_tokens = written.special_tokens;
  }
}

Json one_message(std::string text) {
  if (text.ends_with('\n')) text.pop_back();
  return Json::array({{{"role", "user"}, {"content", std::move(text)}}});
}

Json parse_messages(const std::string& json, const std::string& subject) {
  Json messages = parse_json(json, subject);
  check_messages(messages, subject);
  return messages;
}

Json parse_chat_variables(const std::string& json, const std::string& option) {
  if (json.empty()) return Json::object();
  try {
    Json variables = parse_json(json, option);
    if (variables.is_object()) return variables;
  } catch (const Error& fault) {
    throw usage_error(fault.what());
  }
  throw usage_error(option + ": must be an object of JSON, {\"enable_thinking\": false}");
}

}  // namespace hone
