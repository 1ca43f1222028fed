// Conversations with a model: messages become prompts by its chat template.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "libcommon/chat/chat_template.h"
#include "libcommon/run/prompts.h"

namespace hone {

struct ChatOptions {
  std::string system;               // what the first message says of the model's part; "": none
  std::string template_file;        // a template in place of the model's; "": the model's
  std::string template_source;      // its text
  Json variables = Json::object();  // for the template, beside messages
};

class Chat {
 public:
  // files, subject: of the model. Throws Error where it has no template and none is given.
  Chat(const std::map<std::string, std::string>& files, const std::string& subject,
       ChatOptions options);

  // The prompt after which the model answers the last message.
  Prompt prompt(Json messages) const;
  // Prompts with messages become texts.
  void write_out(std::vector<Prompt>& prompts) const;

 private:
  ChatOptions options_;
  ChatTemplate template_;
};

// [{"role": "user", "content": text}]; one end of a line at the text's end is not said.
Json one_message(std::string text);
// A file of messages: [{"role": ..., "content": ...}, ...]. Throws Error.
Json parse_messages(const std::string& json, const std::string& subject);
// What a template may ask for, {"enable_thinking": false}. Throws a usage error.
Json parse_chat_variables(const std::string& json, const std::string& option);

}  // namespace hone
