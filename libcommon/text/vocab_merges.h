// vocab.json + merges.txt, the older form of byte-level BPE tokenizers, as a tokenizer.json
// document. The files do not say how text is split; the model's family does.
#pragma once

#include <string>

#include "libcommon/io/json.h"
#include "libcommon/text/side_files.h"
#include "libcommon/text/split_families.h"

namespace hone {

// The family is told by model_type of config.json, else tokenizer_class of tokenizer_config.json.
// Throws Error where neither names one of the GPT-2 or Qwen2 kind.
Json document_from_vocab_merges(const SideFiles& files, const std::string& subject);

// The document around a byte-level BPE vocabulary (token -> id), merges, and added tokens.
struct ByteLevelParts {
  Json vocabulary = Json::object();
  Json merges = Json::array();
  Json added_tokens = Json::array();
  Json post_processor = nullptr;
};
Json byte_level_document(const SplitFamily& family, ByteLevelParts parts);

// An entry of 'added_tokens', matched in the raw text.
Json added_token(int64_t id, const std::string& content, bool special);

// "$A" between special tokens; null where there are none. Each is (content, id).
using NamedId = std::pair<std::string, int64_t>;
Json template_processing(const std::vector<NamedId>& before, const std::vector<NamedId>& after);

}  // namespace hone
