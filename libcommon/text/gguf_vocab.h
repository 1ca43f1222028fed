// The vocabulary inside a GGUF file as ordinary side files (tokenizer.json, tokenizer_config.json)
// and back, so that a GGUF model becomes an ordinary checkpoint and the reverse. Field by field the
// tokenizer.* keys of GGUF; reading the container is libcommon/io/gguf.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace hone {

// Values of tokenizer.ggml.token_type.
enum GgufTokenType : int32_t {
  kGgufNormal = 1,
  kGgufUnknown,
  kGgufControl,
  kGgufUser,  // user-defined: an added token that is not special
  kGgufUnused,
  kGgufByte,
};

struct GgufVocabulary {
  std::string model;                // tokenizer.ggml.model: "gpt2", "llama"
  std::string pre;                  // tokenizer.ggml.pre: names the split expression; "" if missing
  std::vector<std::string> tokens;  // index = id
  std::vector<float> scores;        // llama: the merge order; else empty
  std::vector<int32_t> types;       // GgufTokenType, or empty: all normal
  std::vector<std::string> merges;  // gpt2: "left right", a space inside a part is U+0120
  std::optional<int64_t> bos, eos, unk;
  std::optional<bool> add_bos, add_eos, add_space_prefix;
  std::string chat_template;  // "" if missing
};

// Side files that Tokenizer::from_files reads. Throws Error("SUBJECT: ...") for model kinds other
// than gpt2 and llama, an unknown `pre`, arrays of different lengths, ids out of range.
std::map<std::string, std::string> tokenizer_files_from_gguf(const GgufVocabulary& vocabulary,
                                                             const std::string& subject);

// The reverse, for writing GGUF. Throws Error where the tokenizer has no GGUF form (a split
// expression outside the table of `pre` names, a normalizer GGUF cannot say).
GgufVocabulary gguf_vocabulary_from_files(const std::map<std::string, std::string>& files,
                                          const std::string& subject);

}  // namespace hone
