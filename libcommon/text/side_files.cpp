// Choice of the tokenizer document; begin and end ids.
#include "libcommon/text/side_files.h"

#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"
#include "libcommon/text/vocab_merges.h"

namespace hone {
namespace {

// An id field: null and negative numbers mean "none", as old configurations write -1.
std::optional<int32_t> one_id(const Json& value, const std::string& subject, const char* key) {
  if (value.is_number_integer() && !value.is_number_unsigned()) return std::nullopt;
  if (!value.is_number_unsigned() || value.get<uint64_t>() > INT32_MAX) {
    throw Error(subject + ": '" + key + "' is not a token id");
  }
  return value.get<int32_t>();
}

std::vector<int32_t> ids_in(const Json& config, const char* key, const std::string& subject) {
  std::vector<int32_t> ids;
  const auto found = config.is_object() ? config.find(key) : config.end();
  if (found == config.end() || found->is_null()) return ids;
  const auto add = [&](const Json& value) {
    if (const auto id = one_id(value, subject, key)) ids.push_back(*id);
  };
  if (found->is_array()) {
    for (const Json& value : *found) add(value);
  } else {
    add(*found);
  }
  return ids;
}

// `key` is "bos" or "eos".
std::vector<int32_t> special_ids(const SideFiles& files, const TokenLookup& id_of,
                                 const std::string& key, const std::string& subject) {
  for (const char* name : {"generation_config.json", "config.json"}) {
    const auto config = parse_side_file(files, name, subject);
    if (!config) continue;
    auto ids = ids_in(*config, (key + "_token_id").c_str(), subject + ": " + name);
    if (!ids.empty()) return ids;
  }
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    const auto config = parse_side_file(files, name, subject);
    if (!config) continue;
    const auto id = id_of(named_token(*config, (key + "_token").c_str()));
    if (id) return {*id};
  }
  return {};
}

}  // namespace

TokenizerDocument tokenizer_document(const SideFiles& files, const std::string& subject) {
  const auto found = files.find("tokenizer.json");
  if (found != files.end()) {
    const std::string where = subject + ": tokenizer.json";
    return {parse_json(found->second, where), where};
  }
  if (files.contains("vocab.json") && files.contains("merges.txt")) {
    return {document_from_vocab_merges(files, subject), subject + ": vocab.json, merges.txt"};
  }
  if (files.contains("tokenizer.model") || files.contains("spiece.model")) {
    throw Error(subject +
                ": has a SentencePiece model but no tokenizer.json; SentencePiece files are not "
                "implemented, save the tokenizer as tokenizer.json");
  }
  if (files.contains("vocab.txt")) {
    throw Error(subject + ": has vocab.txt but no tokenizer.json; WordPiece is not implemented");
  }
  throw Error(subject + ": has no tokenizer: neither tokenizer.json nor vocab.json + merges.txt");
}

std::optional<int32_t> begin_id(const SideFiles& files, const TokenLookup& id_of,
                                const std::string& subject) {
  const std::vector<int32_t> ids = special_ids(files, id_of, "bos", subject);
  return ids.empty() ? std::nullopt : std::optional(ids.front());
}

std::optional<int32_t> end_id(const SideFiles& files, const TokenLookup& id_of,
                              const std::string& subject) {
  const std::vector<int32_t> ids = special_ids(files, id_of, "eos", subject);
  return ids.empty() ? std::nullopt : std::optional(ids.front());
}

std::vector<int32_t> end_ids(const SideFiles& files, const TokenLookup& id_of,
                             const std::string& subject) {
  const auto generation = parse_side_file(files, "generation_config.json", subject);
  if (!generation) return special_ids(files, id_of, "eos", subject);
  return ids_in(*generation, "eos_token_id", subject + ": generation_config.json");
}

std::optional<Json> parse_side_file(const SideFiles& files, const std::string& name,
                                    const std::string& subject) {
  const auto found = files.find(name);
  if (found == files.end()) return std::nullopt;
  return parse_json(found->second, subject + ": " + name);
}

std::string named_token(const Json& config, const char* key) {
  const auto found = config.is_object() ? config.find(key) : config.end();
  if (found == config.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  const auto content = found->is_object() ? found->find("content") : found->end();
  if (!found->is_object() || content == found->end() || !content->is_string()) return "";
  return content->get<std::string>();
}

Json field(const Json& json, const char* key) {
  const auto found = json.is_object() ? json.find(key) : json.end();
  return !json.is_object() || found == json.end() ? Json(nullptr) : *found;
}

std::optional<std::string> chat_template_text(const SideFiles& files, const std::string& subject) {
  const auto file = files.find("chat_template.jinja");
  if (file != files.end()) return file->second;
  for (const char* name : {"tokenizer_config.json", "chat_template.json"}) {
    const std::optional<Json> config = parse_side_file(files, name, subject);
    const Json text = config ? field(*config, "chat_template") : Json(nullptr);
    if (text.is_string()) return text.get<std::string>();
    if (!text.is_array()) continue;
    for (const Json& named : text) {
      const Json body = field(named, "template");
      if (field(named, "name") == "default" && body.is_string()) return body.get<std::string>();
    }
  }
  return std::nullopt;
}

}  // namespace hone
