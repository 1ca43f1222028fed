// The BPE model: merge order against a plain reference, unknown characters, byte fallback.
#include "libcommon/text/bpe.h"

#include <doctest/doctest.h>

#include "libcommon/base/error.h"
#include "libcommon/base/rng.h"
#include "tests/text/support.h"

namespace hone {
namespace {

using Ids = std::vector<int32_t>;

Ids encode(const Bpe& model, const std::string& text) {
  PieceCache cache;
  Ids ids;
  model.encode(text, cache, ids);
  return ids;
}

Json model_json(Json vocabulary, Json merges) {
  return {{"type", "BPE"}, {"vocab", std::move(vocabulary)}, {"merges", std::move(merges)}};
}

// Random merges over a, b, c and the two-byte character U+00E9.
Json random_model(uint64_t seed) {
  std::vector<std::string> tokens = {"a", "b", "c", "\u00E9"};
  Json vocabulary = {{"a", 0}, {"b", 1}, {"c", 2}, {"\u00E9", 3}};
  Json merges = Json::array();
  for (uint64_t i = 0; i < 24; ++i) {
    const std::string left = tokens[random_bits(seed, i, 0) % tokens.size()];
    const std::string right = tokens[random_bits(seed, i, 1) % tokens.size()];
    if (left.size() + right.size() > 12) continue;
    merges.push_back(Json::array({left, right}));
    if (vocabulary.contains(left + right)) continue;
    vocabulary[left + right] = tokens.size();
    tokens.push_back(left + right);
  }
  return model_json(vocabulary, merges);
}

// The definition: while there is one, make the leftmost of the merges of lowest rank.
Ids reference(const Json& model, const std::string& text, const Json& ranks) {
  std::vector<std::string> symbols;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char next = utf8_char(text, at);
    symbols.push_back(text.substr(at, next.length));
    at += next.length;
  }
  const Json& merges = model["merges"];
  for (;;) {
    size_t best = 0;
    int64_t best_rank = -1;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      for (size_t m = 0; m < merges.size(); ++m) {
        const auto rank = ranks.is_null() ? static_cast<int64_t>(m) : ranks[m].get<int64_t>();
        const bool last = [&] {  // of equal merges the last counts
          for (size_t n = m + 1; n < merges.size(); ++n) {
            if (merges[n] == merges[m]) return false;
          }
          return true;
        }();
        if (last && merges[m][0] == symbols[i] && merges[m][1] == symbols[i + 1] &&
            (best_rank < 0 || rank < best_rank)) {
          best = i;
          best_rank = rank;
        }
      }
    }
    if (best_rank < 0) break;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
  Ids ids;
  for (const std::string& symbol : symbols) ids.push_back(model["vocab"][symbol].get<int32_t>());
  return ids;
}

std::string random_word(uint64_t seed, uint64_t length) {
  static const char* const kLetters[] = {"a", "b", "c", "\u00E9"};
  std::string word;
  for (uint64_t i = 0; i < length; ++i) word += kLetters[random_bits(seed, 99, i) % 4];
  return word;
}

// A vocabulary with all byte tokens, "a", "b", "ab" and the unknown token "?" of id 300.
Json byte_model() {
  Json vocabulary = Json::object();
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    vocabulary[name] = byte;
  }
  vocabulary["a"] = 256;
  vocabulary["b"] = 257;
  vocabulary["ab"] = 258;
  vocabulary["?"] = 300;
  Json model = model_json(vocabulary, {"a b"});
  model["unk_token"] = "?";
  return model;
}

}  // namespace

TEST_CASE("merge order equals the definition on short and long pieces") {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    Json json = random_model(seed);
    const Bpe plain(json, "test");
    json["byte_fallback"] = true;  // encodes segment by segment
    const Bpe segmented(json, "test");
    for (const uint64_t length : {1, 2, 3, 7, 20, 63, 64, 65, 66, 200}) {
      const std::string word = random_word(seed * 1000 + length, length);
      CAPTURE(word);
      const Ids expected = reference(json, word, nullptr);
      CHECK(encode(plain, word) == expected);
      CHECK(encode(segmented, word) == expected);
    }
  }
}

TEST_CASE("hone_merge_ranks: equal ranks merge from the left") {
  Json json = model_json({{"a", 0}, {"aa", 1}, {"aaa", 2}, {"b", 3}, {"ab", 4}},
                         {"a aa", "aa a", "a a", "a b"});
  CHECK(encode(Bpe(json, "test"), "aab") == Ids{1, 3});
  json["hone_merge_ranks"] = {0, 0, 1, 1};
  for (uint64_t i = 0; i < 50; ++i) {
    const std::string word(i % 9 + 1, 'a');
    CHECK(encode(Bpe(json, "test"), word + "b") ==
          reference(model_json(json["vocab"], parse_json(R"([["a","aa"],["aa","a"],["a","a"],
                                                             ["a","b"]])",
                                                         "test")),
                    word + "b", json["hone_merge_ranks"]));
  }
  json["hone_merge_ranks"] = {0, 0, 1};
  CHECK_THROWS_WITH_AS(Bpe(json, "m"), doctest::Contains("hone_merge_ranks has 3"), Error);
}

TEST_CASE("unknown characters: bytes, the unknown token, nothing") {
  Json json = byte_model();
  CHECK(encode(Bpe(json, "test"), "axxb") == Ids{256, 300, 300, 257});
  json["fuse_unk"] = true;
  CHECK(encode(Bpe(json, "test"), "axxb") == Ids{256, 300, 257});
  json["byte_fallback"] = true;
  CHECK(encode(Bpe(json, "test"), "ab\u00E9ab") == Ids{258, 0xC3, 0xA9, 258});
  json["vocab"].erase("<0xA9>");  // half a character: no bytes at all
  CHECK(encode(Bpe(json, "test"), "a\u00E9\u00E9xb") == Ids{256, 'x', 300, 257});
  json["unk_token"] = nullptr;
  json["byte_fallback"] = false;
  CHECK(encode(Bpe(json, "test"), "xax") == Ids{256});
}

TEST_CASE("ignore_merges takes a piece that is a token as it is") {
  Json json = model_json({{"a", 0}, {"b", 1}, {"ab", 2}, {"aba", 3}, {"ba", 4}}, {"b a"});
  CHECK(encode(Bpe(json, "test"), "aba") == Ids{0, 4});
  json["ignore_merges"] = true;
  CHECK(encode(Bpe(json, "test"), "aba") == Ids{3});
  CHECK(encode(Bpe(json, "test"), "abab") == Ids{0, 4, 1});
}

TEST_CASE("a megabyte in one piece takes no quadratic time") {
  Json json = model_json({{"a", 0}, {"aa", 1}, {"aaaa", 2}}, {"a a", "aa aa"});
  json["byte_fallback"] = true;
  CHECK(encode(Bpe(json, "test"), std::string(1'000'000, 'a')) == Ids(250'000, 2));
}

TEST_CASE("the cache grows and keeps what it knows") {
  const Bpe model(random_model(3), "test");
  PieceCache cache;
  for (int round = 0; round < 2; ++round) {
    for (uint64_t i = 0; i < 3000; ++i) {
      const std::string word = random_word(i, 6);
      Ids cached;
      model.encode(word, cache, cached);
      REQUIRE(cached == encode(model, word));
    }
  }
}

}  // namespace hone
