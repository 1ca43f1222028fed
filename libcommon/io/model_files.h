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

// Configuration, vocabulary, chat template: what travels with the weights.
inline bool is_side_file(std::string_view name) {
  if (name.starts_with('.') || name.ends_with(".index.json")) return false;
  for (const std::string_view ending : {".json", ".txt", ".model", ".jinja"}) {
    if (name.ends_with(ending)) return true;
  }
  return false;
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
