// Names inside a Hugging Face model directory.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace hone {

inline constexpr char kWeightsFile[] = "model.safetensors";
inline constexpr char kIndexFile[] = "model.safetensors.index.json";
inline constexpr char kConfigFile[] = "config.json";

// Configuration, vocabulary, chat template: what travels with the weights. A list, not a pattern:
// logs, texts and results that lie beside a model are not part of it.
inline constexpr std::string_view kSideFiles[] = {
    "config.json", "generation_config.json", "tokenizer.json",
    "merges.txt",  "tokenizer_config.json",  "special_tokens_map.json",
    "vocab.json",  "added_tokens.json",      "preprocessor_config.json",
    "vocab.txt",   "chat_template.json",     "chat_template.jinja",
};

inline bool is_side_file(std::string_view name) {
  if (name.starts_with('.')) return false;
  for (const std::string_view known : kSideFiles) {
    if (name == known) return true;
  }
  return name.ends_with(".model") || name.ends_with(".jinja");  // SentencePiece, named templates
}

// "model-00001-of-00003.safetensors"; shard counts from 0.
inline std::string shard_name(size_t shard, size_t shards) {
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", shard + 1, shards);
  return name;
}

// Names of a directory's entries, sorted. Error (exit 4) where it cannot be read.
std::vector<std::string> list_directory(const std::string& path);

}  // namespace hone
