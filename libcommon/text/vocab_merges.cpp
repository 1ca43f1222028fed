// Building tokenizer.json documents for byte-level BPE.
#include "libcommon/text/vocab_merges.h"

#include <array>
#include <utility>

#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"

namespace hone {
namespace {

struct ModelFamily {
  const char* name;  // model_type or tokenizer_class
  const char* pre;
};
constexpr std::array kModelFamilies = {
    ModelFamily{"gpt2", "gpt-2"},
    ModelFamily{"GPT2Tokenizer", "gpt-2"},
    ModelFamily{"GPT2TokenizerFast", "gpt-2"},
    ModelFamily{"qwen2", "qwen2"},
    ModelFamily{"qwen2_moe", "qwen2"},
    ModelFamily{"qwen3", "qwen2"},
    ModelFamily{"qwen3_moe", "qwen2"},
    ModelFamily{"Qwen2Tokenizer", "qwen2"},
    ModelFamily{"Qwen2TokenizerFast", "qwen2"},
};

const SplitFamily& family_of(const SideFiles& files, const std::string& subject) {
  std::string seen;
  for (const auto& [file, key] : {std::pair{"config.json", "model_type"},
                                  std::pair{"tokenizer_config.json", "tokenizer_class"}}) {
    const auto config = parse_side_file(files, file, subject);
    if (!config) continue;
    const std::string name = named_token(*config, key);
    for (const ModelFamily& family : kModelFamilies) {
      if (name == family.name) return *find_split_family(family.pre);
    }
    if (!name.empty()) seen += (seen.empty() ? "" : ", ") + quote_name(name);
  }
  throw Error(subject +
              ": vocab.json and merges.txt without tokenizer.json are read for the GPT-2 " +
              "and Qwen2 families only; " +
              (seen.empty() ? "config.json does not tell the family" : "this model says " + seen));
}

Json merges_of(std::string_view text) {
  Json merges = Json::array();
  for (size_t begin = 0; begin < text.size();) {
    const size_t newline = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, newline - begin);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty() && !line.starts_with("#version")) merges.push_back(std::string(line));
    begin = newline + 1;
  }
  return merges;
}

// tokenizer_config.json's added_tokens_decoder: {"151643": {"content": ..., "special": true}, ...},
// else the named special tokens that the vocabulary has.
Json added_tokens_of(const SideFiles& files, const Json& vocabulary, const std::string& subject) {
  Json added = Json::array();
  const Json config =
      parse_side_file(files, "tokenizer_config.json", subject).value_or(Json::object());
  const auto decoder = config.is_object() ? config.find("added_tokens_decoder") : config.end();
  if (decoder != config.end() && decoder->is_object()) {
    for (const auto& [id, token] : decoder->items()) {
      if (token.is_object()) added.push_back(token);
    }
    return added;
  }
  const std::string end = "<|endoftext|>";  // GPT-2's and Qwen's, all roles in one
  const auto found = vocabulary.is_object() ? vocabulary.find(end) : vocabulary.end();
  if (found != vocabulary.end() && found->is_number_integer()) {
    added.push_back(added_token(found->get<int64_t>(), end, true));
  }
  return added;
}

Json template_side(const std::vector<NamedId>& tokens, Json side, Json& table) {
  for (const auto& [name, id] : tokens) {
    side.push_back({{"SpecialToken", {{"id", name}, {"type_id", 0}}}});
    table[name] = {{"id", name}, {"ids", Json::array({id})}, {"tokens", Json::array({name})}};
  }
  return side;
}

}  // namespace

Json document_from_vocab_merges(const SideFiles& files, const std::string& subject) {
  const SplitFamily& family = family_of(files, subject);
  ByteLevelParts parts;
  parts.vocabulary = parse_json(files.at("vocab.json"), subject + ": vocab.json");
  parts.merges = merges_of(files.at("merges.txt"));
  parts.added_tokens = added_tokens_of(files, parts.vocabulary, subject);
  return byte_level_document(family, std::move(parts));
}

Json byte_level_document(const SplitFamily& family, ByteLevelParts parts) {
  Json model = {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", nullptr},
                {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr},
                {"fuse_unk", false},
                {"byte_fallback", false},
                {"ignore_merges", family.ignore_merges}};
  model["vocab"] = std::move(parts.vocabulary);
  model["merges"] = std::move(parts.merges);
  Json document = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  document["added_tokens"] = std::move(parts.added_tokens);
  document["normalizer"] = family_normalizer(family);
  document["pre_tokenizer"] = family_pre_tokenizer(family);
  document["post_processor"] =
      parts.post_processor.is_null() ? byte_level_component(true) : std::move(parts.post_processor);
  document["decoder"] = byte_level_component(true);
  document["model"] = std::move(model);
  return document;
}

Json added_token(int64_t id, const std::string& content, bool special) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

Json template_processing(const std::vector<NamedId>& before, const std::vector<NamedId>& after) {
  if (before.empty() && after.empty()) return nullptr;
  const auto sequence = [](const char* id, int type) -> Json {
    return {{"Sequence", {{"id", id}, {"type_id", type}}}};
  };
  Json table = Json::object();
  Json single = template_side(before, Json::array(), table);
  single.push_back(sequence("A", 0));
  single = template_side(after, std::move(single), table);
  Json pair = single;
  pair.push_back(sequence("B", 1));
  pair = template_side(after, std::move(pair), table);
  return {{"type", "TemplateProcessing"},
          {"single", std::move(single)},
          {"pair", std::move(pair)},
          {"special_tokens", std::move(table)}};
}

}  // namespace hone
