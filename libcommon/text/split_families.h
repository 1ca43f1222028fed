// Byte-level BPE vocabularies differ in the expressions that split text. This table names each way
// of splitting as GGUF files do (tokenizer.ggml.pre); the same rows make a tokenizer.json for a
// GGUF vocabulary, choose the name when GGUF is written, and serve vocab.json + merges.txt.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/io/json.h"

namespace hone {

struct SplitFamily {
  std::array<const char*, 8> names;   // of tokenizer.ggml.pre; the first is written
  std::array<const char*, 5> splits;  // applied one after the other, matches isolated
  bool ignore_merges = false;         // a piece that is a token is not taken apart
  bool add_bos = false;               // where the file does not say
  bool nfc = false;                   // the official tokenizer normalizes
};

// Null where the name is unknown.
const SplitFamily* find_split_family(std::string_view name);
// The row with these expressions, if possible with this ignore_merges; null where there is none.
const SplitFamily* find_split_family(std::span<const std::string> splits, bool ignore_merges);

// Fields of tokenizer.json.
Json family_pre_tokenizer(const SplitFamily& family);
Json byte_level_component(bool use_regex);  // pre-tokenizer, decoder and post-processor in one
Json family_normalizer(const SplitFamily& family);

// The expressions of a pre_tokenizer that ends with ByteLevel and otherwise isolates matches of
// expressions; nullopt for any other.
std::optional<std::vector<std::string>> byte_level_splits(const Json& pre_tokenizer);

}  // namespace hone
