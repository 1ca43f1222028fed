// A model's chat template: messages in, the prompt that the model was trained to answer out.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "libcommon/chat/syntax.h"
#include "libcommon/io/json.h"

namespace hone {

class ChatTemplate {
 public:
  // source: Jinja. variables: what the template knows beside the messages (bos_token ...), an
  // object. subject: for errors. Throws Error for what is no template, or is not implemented.
  ChatTemplate(const std::string& source, Json variables, std::string subject);

  // The template of a model's side files (chat_template_text() of side_files.h), or nullopt.
  static std::optional<ChatTemplate> from_files(const std::map<std::string, std::string>& files,
                                                const std::string& subject);
  // Another template for the same model; subject: of the template, for errors.
  static ChatTemplate with_tokens_of(const std::map<std::string, std::string>& files,
                                     const std::string& source, const std::string& subject);

  // messages: [{"role": "user", "content": "..."}, ...]; more: further variables, an object. The
  // text ends where the assistant's answer begins, and names its own special tokens: encode it
  // without adding any. Throws Error for messages that the template refuses.
  std::string prompt(const Json& messages, const Json& more) const;

 private:
  std::string subject_;
  Json variables_;
  chat::Block block_;
};

// Throws Error where it is no list of objects with a role each.
void check_messages(const Json& messages, const std::string& subject);

}  // namespace hone
