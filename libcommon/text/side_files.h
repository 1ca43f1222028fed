// The small files beside a model, as far as tokenizers need them: which document describes the
// tokenizer, and which ids begin and end a text.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/io/json.h"

namespace hone {

using SideFiles = std::map<std::string, std::string>;

struct TokenizerDocument {
  Json json;            // in the form of tokenizer.json
  std::string subject;  // "MODEL: tokenizer.json", for errors
};

// tokenizer.json, or the same made of vocab.json + merges.txt. Throws Error where there is neither.
TokenizerDocument tokenizer_document(const SideFiles& files, const std::string& subject);

using TokenLookup = std::function<std::optional<int32_t>(std::string_view token)>;

// bos_token_id of generation_config.json, else config.json, else the id of bos_token of
// tokenizer_config.json, else special_tokens_map.json. Throws Error for an id that is no id.
std::optional<int32_t> begin_id(const SideFiles& files, const TokenLookup& id_of,
                                const std::string& subject);
// Likewise eos_token_id, of a list the first.
std::optional<int32_t> end_id(const SideFiles& files, const TokenLookup& id_of,
                              const std::string& subject);
// What ends a text, as in transformers' generate(): where there is a generation_config.json, it
// alone says so, and may say nothing; else as above, all of a list.
std::vector<int32_t> end_ids(const SideFiles& files, const TokenLookup& id_of,
                             const std::string& subject);

// A side file parsed; nullopt where it is missing.
std::optional<Json> parse_side_file(const SideFiles& files, const std::string& name,
                                    const std::string& subject);

// A member of an object; null where there is none, or no object.
Json field(const Json& json, const char* key);

// The model's chat template, Jinja: chat_template.jinja, else chat_template of
// tokenizer_config.json (of several, "default"), else of chat_template.json; as transformers
// chooses. nullopt where there is none.
std::optional<std::string> chat_template_text(const SideFiles& files, const std::string& subject);

// bos_token and the like: "<s>" or {"content": "<s>"}; "" where missing.
std::string named_token(const Json& config, const char* key);

}  // namespace hone
