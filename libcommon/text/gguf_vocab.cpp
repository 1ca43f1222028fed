// GGUF vocabulary -> tokenizer.json and tokenizer_config.json.
#include "libcommon/text/gguf_vocab.h"

#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"
#include "libcommon/text/sentencepiece_merges.h"
#include "libcommon/text/split_families.h"
#include "libcommon/text/vocab_merges.h"

namespace hone {
namespace {

void check_id(const GgufVocabulary& vocabulary, const char* name, std::optional<int64_t> id,
              const std::string& subject) {
  const auto size = static_cast<int64_t>(vocabulary.tokens.size());
  if (id && (*id < 0 || *id >= size)) {
    throw Error(subject + ": the " + name + " token has id " + std::to_string(*id) + " of " +
                std::to_string(size) + " tokens");
  }
}

void check(const GgufVocabulary& vocabulary, const std::string& subject) {
  const size_t size = vocabulary.tokens.size();
  if (size == 0) throw Error(subject + ": tokenizer.ggml.tokens is missing or empty");
  if (size > INT32_MAX) throw Error(subject + ": more than 2^31 tokens");
  const auto matches = [size](size_t other) { return other == 0 || other == size; };
  if (!matches(vocabulary.types.size()) || !matches(vocabulary.scores.size())) {
    throw Error(subject + ": " + std::to_string(size) + " tokens, but " +
                std::to_string(vocabulary.types.size()) + " types and " +
                std::to_string(vocabulary.scores.size()) + " scores");
  }
  for (size_t id = 0; id < size; ++id) {
    if (!is_utf8(vocabulary.tokens[id])) {
      throw Error(subject + ": token " + std::to_string(id) + ", " +
                  quote_name(vocabulary.tokens[id]) + ", is not UTF-8");
    }
  }
  check_id(vocabulary, "bos", vocabulary.bos, subject);
  check_id(vocabulary, "eos", vocabulary.eos, subject);
  check_id(vocabulary, "unknown", vocabulary.unk, subject);
}

int32_t type_of(const GgufVocabulary& vocabulary, size_t id) {
  return vocabulary.types.empty() ? kGgufNormal : vocabulary.types[id];
}

// token -> id. Of equal tokens the last counts, as in llama.cpp; the others' ids stay empty.
Json vocabulary_json(const GgufVocabulary& vocabulary) {
  std::map<std::string_view, size_t> last;
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) last[vocabulary.tokens[id]] = id;
  Json json = Json::object();
  auto& object = json.get_ref<Json::object_t&>();
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string& token = vocabulary.tokens[id];
    // Appended directly: the map of this JSON type looks for equal keys one by one.
    if (last[token] == id) object.emplace_back(token, static_cast<int64_t>(id));
  }
  return json;
}

Json added_tokens_json(const GgufVocabulary& vocabulary) {
  Json added = Json::array();
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const int32_t type = type_of(vocabulary, id);
    if (type != kGgufUnknown && type != kGgufControl && type != kGgufUser) continue;
    added.push_back(
        added_token(static_cast<int64_t>(id), vocabulary.tokens[id], type != kGgufUser));
  }
  return added;
}

Json post_processor_json(const GgufVocabulary& vocabulary, bool bos_by_default) {
  std::vector<NamedId> before, after;
  const auto named = [&vocabulary](int64_t id) {
    return NamedId(vocabulary.tokens[static_cast<size_t>(id)], id);
  };
  if (vocabulary.bos && vocabulary.add_bos.value_or(bos_by_default)) {
    before.push_back(named(*vocabulary.bos));
  }
  if (vocabulary.eos && vocabulary.add_eos.value_or(false)) after.push_back(named(*vocabulary.eos));
  return template_processing(before, after);
}

// Without merges only single characters are ever found.
bool needs_merges(const GgufVocabulary& vocabulary) {
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string& token = vocabulary.tokens[id];
    const bool normal = type_of(vocabulary, id) == kGgufNormal && !token.empty();
    if (normal && utf8_sequence(token, 0) < token.size()) return true;
  }
  return false;
}

Json merges_json(const GgufVocabulary& vocabulary, const std::string& subject) {
  if (vocabulary.merges.empty() && needs_merges(vocabulary)) {
    throw Error(subject + ": tokenizer.ggml.merges is missing or empty");
  }
  Json merges = Json::array();
  for (const std::string& merge : vocabulary.merges) {
    const size_t space = merge.find(' ', 1);
    if (space == std::string::npos || !is_utf8(merge)) {
      throw Error(subject + ": tokenizer.ggml.merges: " + quote_name(merge) + " is not two tokens");
    }
    merges.push_back(merge);
  }
  return merges;
}

Json gpt2_document(const GgufVocabulary& vocabulary, const std::string& subject) {
  if (vocabulary.pre.empty()) {
    throw Error(subject +
                ": tokenizer.ggml.pre is missing, so how text is split is unknown; "
                "convert the model anew");
  }
  const SplitFamily* family = find_split_family(vocabulary.pre);
  if (family == nullptr) {
    throw Error(subject + ": tokenizer.ggml.pre " + quote_name(vocabulary.pre) +
                " is not implemented");
  }
  return byte_level_document(*family,
                             {.vocabulary = vocabulary_json(vocabulary),
                              .merges = merges_json(vocabulary, subject),
                              .added_tokens = added_tokens_json(vocabulary),
                              .post_processor = post_processor_json(vocabulary, family->add_bos)});
}

Json replace(const char* from, const char* to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

Json llama_normalizer(bool space_prefix) {
  Json spaces = replace(" ", "\u2581");
  if (!space_prefix) return spaces;
  Json steps = Json::array({{{"type", "Prepend"}, {"prepend", "\u2581"}}, std::move(spaces)});
  return {{"type", "Sequence"}, {"normalizers", std::move(steps)}};
}

Json llama_decoder(bool space_prefix) {
  Json steps =
      Json::array({replace("\u2581", " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}});
  if (space_prefix) {
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  return {{"type", "Sequence"}, {"decoders", std::move(steps)}};
}

Json llama_model(const GgufVocabulary& vocabulary, const std::string& subject) {
  if (vocabulary.scores.empty()) throw Error(subject + ": tokenizer.ggml.scores is missing");
  std::vector<bool> mergeable(vocabulary.tokens.size());
  for (size_t id = 0; id < mergeable.size(); ++id) {
    const int32_t type = type_of(vocabulary, id);
    mergeable[id] = type == kGgufNormal || type == kGgufUser;
  }
  SentencePieceMerges merges =
      sentencepiece_merges(vocabulary.tokens, vocabulary.scores, mergeable, subject);
  Json model = {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", nullptr},
                {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr},
                {"fuse_unk", true},
                {"byte_fallback", true},
                {"ignore_merges", false}};
  if (vocabulary.unk) {
    model["unk_token"] = vocabulary.tokens[static_cast<size_t>(*vocabulary.unk)];
  }
  model["vocab"] = vocabulary_json(vocabulary);
  model["merges"] = std::move(merges.merges);
  model["hone_merge_ranks"] = std::move(merges.ranks);
  return model;
}

Json llama_document(const GgufVocabulary& vocabulary, const std::string& subject) {
  const bool space_prefix = vocabulary.add_space_prefix.value_or(true);
  Json document = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  document["added_tokens"] = added_tokens_json(vocabulary);
  document["normalizer"] = llama_normalizer(space_prefix);
  document["pre_tokenizer"] = nullptr;
  document["post_processor"] = post_processor_json(vocabulary, true);
  document["decoder"] = llama_decoder(space_prefix);
  document["model"] = llama_model(vocabulary, subject);
  return document;
}

Json config_json(const GgufVocabulary& vocabulary) {
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"clean_up_tokenization_spaces", false}};
  const auto name = [&](const char* key, std::optional<int64_t> id) {
    if (id) config[key] = vocabulary.tokens[static_cast<size_t>(*id)];
  };
  name("bos_token", vocabulary.bos);
  name("eos_token", vocabulary.eos);
  name("unk_token", vocabulary.unk);
  if (vocabulary.add_bos) config["add_bos_token"] = *vocabulary.add_bos;
  if (vocabulary.add_eos) config["add_eos_token"] = *vocabulary.add_eos;
  if (!vocabulary.chat_template.empty()) config["chat_template"] = vocabulary.chat_template;
  return config;
}

}  // namespace

std::map<std::string, std::string> tokenizer_files_from_gguf(const GgufVocabulary& vocabulary,
                                                             const std::string& subject) {
  check(vocabulary, subject);
  Json document;
  if (vocabulary.model == "gpt2") {
    document = gpt2_document(vocabulary, subject);
  } else if (vocabulary.model == "llama") {
    document = llama_document(vocabulary, subject);
  } else {
    throw Error(subject + ": tokenizer.ggml.model " + quote_name(vocabulary.model) +
                " is not implemented");
  }
  const auto text = [](const Json& json) {
    return json.dump(2, ' ', false, Json::error_handler_t::replace);
  };
  return {{"tokenizer.json", document.dump(-1, ' ', false, Json::error_handler_t::replace)},
          {"tokenizer_config.json", text(config_json(vocabulary))}};
}

}  // namespace hone
