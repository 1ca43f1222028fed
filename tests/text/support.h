// Files, vocabularies and random texts for the tests of this folder.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/base/rng.h"
#include "libcommon/io/gguf.h"
#include "libcommon/text/gguf_vocab.h"
#include "libcommon/text/unicode.h"

namespace hone::test {

using Files = std::map<std::string, std::string>;

inline std::optional<std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// The side files of a tokenizer that are there.
inline Files side_files(const std::string& directory) {
  Files files;
  for (const char* name : {"tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json",
                           "config.json", "generation_config.json", "special_tokens_map.json"}) {
    if (auto text = read_file(directory + "/" + name)) files[name] = *text;
  }
  return files;
}

// The folder of shared models and vocabularies; nullopt where a machine has none.
inline std::optional<std::string> shared_folder() {
  const char* path = std::getenv("HONE_SHARED");
  return path == nullptr ? std::nullopt : std::optional<std::string>(path);
}

// `out` keeps its value where the key is missing.
template <typename Array, typename Out>
void take_array(const GgufKeys& keys, const char* key, Array array, Out& out) {
  const GgufValue* value = keys.find(key);
  if (value == nullptr) return;
  const auto& list = (*std::get<std::shared_ptr<GgufArray>>(*value)).*array;
  out.assign(list.begin(), list.end());
}

inline GgufVocabulary read_gguf_vocabulary(const std::string& path) {
  const auto reader = open_gguf(path);
  const GgufKeys& keys = reader->keys();
  const std::string prefix = "tokenizer.ggml.";
  GgufVocabulary out;
  out.model = keys.string(prefix + "model", path);
  if (keys.find(prefix + "pre") != nullptr) out.pre = keys.string(prefix + "pre", path);
  take_array(keys, "tokenizer.ggml.tokens", &GgufArray::strings, out.tokens);
  take_array(keys, "tokenizer.ggml.merges", &GgufArray::strings, out.merges);
  take_array(keys, "tokenizer.ggml.scores", &GgufArray::floats, out.scores);
  take_array(keys, "tokenizer.ggml.token_type", &GgufArray::integers, out.types);
  const auto id = [&](const char* name) -> std::optional<int64_t> {
    if (keys.find(prefix + name) == nullptr) return std::nullopt;
    return keys.integer(prefix + name, path);
  };
  const auto flag = [&](const char* name) -> std::optional<bool> {
    const GgufValue* value = keys.find(prefix + name);
    return value == nullptr ? std::nullopt : std::optional<bool>(std::get<bool>(*value));
  };
  out.bos = id("bos_token_id");
  out.eos = id("eos_token_id");
  out.unk = id("unknown_token_id");
  out.add_bos = flag("add_bos_token");
  out.add_eos = flag("add_eos_token");
  out.add_space_prefix = flag("add_space_prefix");
  return out;
}

// Random text that is hard on tokenizers: blanks, letters of many scripts, digits, marks, emoji,
// contractions, now and then any code point.
inline std::string random_text(uint64_t seed, uint64_t index) {
  struct Range {
    char32_t first, last;
  };
  static constexpr Range kRanges[] = {
      {'a', 'z'},         {'a', 'z'},       {'A', 'Z'},        {' ', ' '},
      {' ', ' '},         {9, 13},          {'0', '9'},        {'!', '/'},
      {0x85, 0xFF},       {0x160, 0x17F},   {0x300, 0x320},    {0x3B1, 0x3C9},
      {0x430, 0x44F},     {0x660, 0x669},   {0x904, 0x94D},    {0x2000, 0x200D},
      {0x2160, 0x2188},   {0x3000, 0x3002}, {0x4E00, 0x4E20},  {0xAC00, 0xAC20},
      {0x1F600, 0x1F640}, {1, 0xD7FF},      {0xE000, 0x10FFFF}};
  static constexpr std::string_view kWords[] = {"'s",   "'S",      "'ll", "'LL",  "'ve",
                                                "'Re",  "'\u017F", "  ",  "\n\n", "\r\n",
                                                "the ", "123",     "'",   "'l"};
  std::string text;
  uint64_t draw = 0;
  const auto below = [&](uint64_t bound) { return random_bits(seed, index, draw++) % bound; };
  for (uint64_t left = below(14); left > 0; --left) {
    if (below(4) == 0) {
      text += kWords[below(std::size(kWords))];
      continue;
    }
    const Range range = kRanges[below(std::size(kRanges))];
    for (uint64_t i = below(4) + 1; i > 0; --i) {
      append_utf8(text, range.first + static_cast<char32_t>(below(range.last - range.first + 1)));
    }
  }
  return text;
}

}  // namespace hone::test
