// Tokens that are found in the text before the model sees it: <s>, <|im_start|>, ... Those marked
// normalized are looked for in the normalized text, the others in the raw text; the leftmost match
// counts, and of several that start there the longest.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/io/json.h"
#include "libcommon/text/normalizer.h"
#include "libcommon/text/vocabulary.h"

namespace hone {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  std::string pattern;       // content, normalized where `normalized` says so
  bool single_word = false;  // not next to a word character
  bool lstrip = false;       // swallows white space before it
  bool rstrip = false;       // ... and after it
  bool normalized = false;
  bool special = false;
};

// A stretch of text: an added token, or text between.
struct Stretch {
  size_t begin, end;
  std::optional<int32_t> token;
};

// Finds the patterns of a set of tokens: a trie over bytes, walked from each possible first byte.
class TokenMatcher {
 public:
  void add(const AddedToken& token);
  // Covers the text from front to back; no stretch of text is empty.
  std::vector<Stretch> split(std::string_view text) const;

 private:
  struct Node {
    unsigned char byte = 0;
    int32_t first_child = -1, next_sibling = -1;
    int32_t token = -1;  // index into tokens_
  };
  struct Match {
    size_t begin, end;
    int32_t token;
  };
  int32_t child(int32_t node, unsigned char byte) const;
  std::optional<Match> find(std::string_view text, size_t from) const;
  static bool is_single_word(std::string_view text, const Match& match);

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_ = std::vector<Node>(1);
  std::vector<bool> starts_ = std::vector<bool>(256, false);
};

class AddedTokens {
 public:
  AddedTokens() = default;
  // json: 'added_tokens', may be null. A token that the model's vocabulary knows has the id it has
  // there; others are numbered from the vocabulary's size on in their order, as in the `tokenizers`
  // library, whatever their 'id' says.
  AddedTokens(const Json& json, const Vocabulary& vocabulary, const Normalizer& normalizer,
              const std::string& subject);

  const TokenMatcher& raw() const { return raw_; }
  const TokenMatcher& normalized() const { return normalized_; }
  const AddedToken* find(int32_t id) const;
  const AddedToken* find(std::string_view content) const;
  int64_t end_id() const { return by_id_.empty() ? 0 : by_id_.rbegin()->first + 1; }
  const std::map<int32_t, AddedToken>& by_id() const { return by_id_; }

 private:
  std::map<int32_t, AddedToken> by_id_;
  TokenMatcher raw_, normalized_;
};

}  // namespace hone
