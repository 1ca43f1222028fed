// tokenizer.* keys of GGUF <-> GgufVocabulary <-> the tokenizer's files.
#include "libcommon/base/error.h"
#include "libcommon/io/gguf_types.h"
#include "libcommon/model/gguf_config.h"
#include "libcommon/text/gguf_vocab.h"

namespace hone {
namespace {

constexpr int32_t kUnusedToken = 5;

const GgufArray* array_of(const GgufKeys& keys, const std::string& key) {
  const GgufValue* value = keys.find(key);
  const auto* array = value ? std::get_if<std::shared_ptr<GgufArray>>(value) : nullptr;
  return array ? array->get() : nullptr;
}

std::optional<int64_t> id_of(const GgufKeys& keys, const char* key, const std::string& subject) {
  if (!keys.find(key)) return std::nullopt;
  return keys.integer(key, subject);
}

std::optional<bool> flag_of(const GgufKeys& keys, const char* key, const std::string& subject) {
  const GgufValue* value = keys.find(key);
  if (!value) return std::nullopt;
  if (const bool* flag = std::get_if<bool>(value)) return *flag;
  throw Error(subject + ": key '" + key + "' is no bool");
}

GgufVocabulary read_vocabulary(const GgufKeys& keys, const std::string& subject) {
  GgufVocabulary vocabulary;
  vocabulary.model = keys.string("tokenizer.ggml.model", subject);
  if (keys.find("tokenizer.ggml.pre")) vocabulary.pre = keys.string("tokenizer.ggml.pre", subject);
  if (const auto* tokens = array_of(keys, "tokenizer.ggml.tokens")) {
    vocabulary.tokens = tokens->strings;
  }
  if (const auto* scores = array_of(keys, "tokenizer.ggml.scores")) {
    for (double score : scores->floats) vocabulary.scores.push_back(static_cast<float>(score));
  }
  if (const auto* types = array_of(keys, "tokenizer.ggml.token_type")) {
    for (int64_t type : types->integers) vocabulary.types.push_back(static_cast<int32_t>(type));
  }
  if (const auto* merges = array_of(keys, "tokenizer.ggml.merges")) {
    vocabulary.merges = merges->strings;
  }
  vocabulary.bos = id_of(keys, "tokenizer.ggml.bos_token_id", subject);
  vocabulary.eos = id_of(keys, "tokenizer.ggml.eos_token_id", subject);
  vocabulary.unk = id_of(keys, "tokenizer.ggml.unknown_token_id", subject);
  vocabulary.add_bos = flag_of(keys, "tokenizer.ggml.add_bos_token", subject);
  vocabulary.add_eos = flag_of(keys, "tokenizer.ggml.add_eos_token", subject);
  vocabulary.add_space_prefix = flag_of(keys, "tokenizer.ggml.add_space_prefix", subject);
  if (keys.find("tokenizer.chat_template")) {
    vocabulary.chat_template = keys.string("tokenizer.chat_template", subject);
  }
  return vocabulary;
}

class KeyWriter {
 public:
  explicit KeyWriter(GgufKeys& keys) : keys_(keys) {}

  void add(const char* key, GgufValue value) {
    keys_.entries.emplace_back(std::string("tokenizer.") + key, std::move(value));
  }
  void add_id(const char* key, const std::optional<int64_t>& id) {
    if (id) add(key, static_cast<uint32_t>(*id));
  }
  void add_flag(const char* key, const std::optional<bool>& flag) {
    if (flag) add(key, *flag);
  }
  void add_array(const char* key, GgufArray array) {
    add(key, std::make_shared<GgufArray>(std::move(array)));
  }

 private:
  GgufKeys& keys_;
};

// llama.cpp counts the vocabulary by its tokens: rows of the embedding beyond them get names.
void fill_up(GgufVocabulary& vocabulary, int64_t vocab, const std::string& subject) {
  if (static_cast<int64_t>(vocabulary.tokens.size()) > vocab) {
    throw Error(subject + ": the tokenizer has " + std::to_string(vocabulary.tokens.size()) +
                " tokens, the embedding only " + std::to_string(vocab) + " rows");
  }
  while (static_cast<int64_t>(vocabulary.tokens.size()) < vocab) {
    vocabulary.tokens.push_back("[PAD" + std::to_string(vocabulary.tokens.size()) + "]");
    vocabulary.types.push_back(kUnusedToken);
    if (!vocabulary.scores.empty()) vocabulary.scores.push_back(-10000.0f);
  }
}

void write_vocabulary(GgufVocabulary vocabulary, GgufKeys& keys) {
  KeyWriter writer(keys);
  writer.add("ggml.model", vocabulary.model);
  if (!vocabulary.pre.empty()) writer.add("ggml.pre", vocabulary.pre);
  GgufArray tokens{.strings = std::move(vocabulary.tokens), .element_type = gguf::kString};
  writer.add_array("ggml.tokens", std::move(tokens));
  if (!vocabulary.scores.empty()) {
    GgufArray scores{.element_type = gguf::kFloat32};
    scores.floats.assign(vocabulary.scores.begin(), vocabulary.scores.end());
    writer.add_array("ggml.scores", std::move(scores));
  }
  GgufArray types{.element_type = gguf::kInt32};
  types.integers.assign(vocabulary.types.begin(), vocabulary.types.end());
  writer.add_array("ggml.token_type", std::move(types));
  if (!vocabulary.merges.empty()) {
    GgufArray merges{.strings = std::move(vocabulary.merges), .element_type = gguf::kString};
    writer.add_array("ggml.merges", std::move(merges));
  }
  writer.add_id("ggml.bos_token_id", vocabulary.bos);
  writer.add_id("ggml.eos_token_id", vocabulary.eos);
  writer.add_id("ggml.unknown_token_id", vocabulary.unk);
  writer.add_flag("ggml.add_bos_token", vocabulary.add_bos);
  writer.add_flag("ggml.add_eos_token", vocabulary.add_eos);
  writer.add_flag("ggml.add_space_prefix", vocabulary.add_space_prefix);
  if (!vocabulary.chat_template.empty()) writer.add("chat_template", vocabulary.chat_template);
}

}  // namespace

void read_tokenizer_keys(const GgufKeys& keys, const std::string& subject,
                         CheckpointHeader& header) {
  constexpr const char* kModel = "tokenizer.ggml.model";
  if (!keys.find(kModel)) return;
  const std::string model = keys.string(kModel, subject);
  if (model == "none" || model == "no_vocab") return;
  const GgufVocabulary vocabulary = read_vocabulary(keys, subject);
  try {
    header.files = tokenizer_files_from_gguf(vocabulary, subject);
  } catch (const Error& error) {
    header.tokenizer_fault = error.what();
  }
}

void add_tokenizer_keys(const std::map<std::string, std::string>& files, int64_t vocab,
                        const std::string& subject, GgufKeys& keys) {
  if (!files.count("tokenizer.json") && !files.count("vocab.json")) {
    keys.entries.emplace_back("tokenizer.ggml.model", std::string("none"));
    return;
  }
  GgufVocabulary vocabulary = gguf_vocabulary_from_files(files, subject);
  fill_up(vocabulary, vocab, subject);
  write_vocabulary(std::move(vocabulary), keys);
}

}  // namespace hone
