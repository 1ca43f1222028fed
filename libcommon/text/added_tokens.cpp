// Matching of added tokens; the order of checks is that of the `tokenizers` library.
#include "libcommon/text/added_tokens.h"

#include <algorithm>

#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"
#include "libcommon/text/unicode.h"

namespace hone {
namespace {

// Where the character begins that ends at `end` > 0.
size_t char_before(std::string_view text, size_t end) {
  size_t at = end - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

// Where the white space at the end of text begins.
size_t trailing_space(std::string_view text) {
  size_t begin = text.size();
  while (begin > 0) {
    const size_t before = char_before(text, begin);
    if (!is_space(utf8_char(text, before).code)) break;
    begin = before;
  }
  return begin;
}

size_t leading_space(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const Utf8Char next = utf8_char(text, at);
    if (!is_space(next.code)) break;
    at += next.length;
  }
  return at;
}

bool boolean(const Json& token, const char* key, const std::string& subject) {
  const auto found = token.find(key);
  if (found == token.end()) return false;
  if (!found->is_boolean()) {
    throw Error(subject + ": added token: '" + key + "' is not a boolean");
  }
  return found->get<bool>();
}

AddedToken read_token(const Json& json, const std::string& subject) {
  const auto content = json.is_object() ? json.find("content") : json.end();
  if (content == json.end() || !content->is_string()) {
    throw Error(subject + ": an entry of 'added_tokens' has no 'content'");
  }
  AddedToken token;
  token.content = content->get<std::string>();
  token.single_word = boolean(json, "single_word", subject);
  token.lstrip = boolean(json, "lstrip", subject);
  token.rstrip = boolean(json, "rstrip", subject);
  token.normalized = boolean(json, "normalized", subject);
  token.special = boolean(json, "special", subject);
  return token;
}

}  // namespace

void TokenMatcher::add(const AddedToken& token) {
  if (token.pattern.empty()) return;
  starts_[static_cast<unsigned char>(token.pattern[0])] = true;
  int32_t node = 0;
  for (const char c : token.pattern) {
    const auto byte = static_cast<unsigned char>(c);
    int32_t next = child(node, byte);
    if (next < 0) {
      next = static_cast<int32_t>(nodes_.size());
      nodes_.push_back({byte, -1, nodes_[static_cast<size_t>(node)].first_child, -1});
      nodes_[static_cast<size_t>(node)].first_child = next;
    }
    node = next;
  }
  nodes_[static_cast<size_t>(node)].token = static_cast<int32_t>(tokens_.size());
  tokens_.push_back(token);
}

int32_t TokenMatcher::child(int32_t node, unsigned char byte) const {
  int32_t at = nodes_[static_cast<size_t>(node)].first_child;
  while (at >= 0 && nodes_[static_cast<size_t>(at)].byte != byte) {
    at = nodes_[static_cast<size_t>(at)].next_sibling;
  }
  return at;
}

std::optional<TokenMatcher::Match> TokenMatcher::find(std::string_view text, size_t from) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    if (!starts_[static_cast<unsigned char>(text[begin])]) continue;
    std::optional<Match> longest;
    int32_t node = 0;
    for (size_t at = begin; at < text.size(); ++at) {
      node = child(node, static_cast<unsigned char>(text[at]));
      if (node < 0) break;
      const int32_t token = nodes_[static_cast<size_t>(node)].token;
      if (token >= 0) longest = Match{begin, at + 1, token};
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

bool TokenMatcher::is_single_word(std::string_view text, const Match& match) {
  if (match.begin > 0 && is_word(utf8_char(text, char_before(text, match.begin)).code))
    return false;
  return match.end == text.size() || !is_word(utf8_char(text, match.end).code);
}

std::vector<Stretch> TokenMatcher::split(std::string_view text) const {
  std::vector<Stretch> out;
  size_t covered = 0, from = 0;
  while (const auto match = tokens_.empty() ? std::nullopt : find(text, from)) {
    from = match->end;  // also behind a match that does not count
    const AddedToken& token = tokens_[static_cast<size_t>(match->token)];
    if (token.single_word && !is_single_word(text, *match)) continue;
    size_t begin = match->begin, end = match->end;
    if (token.lstrip) begin = std::max(trailing_space(text.substr(0, begin)), covered);
    if (token.rstrip) end += leading_space(text.substr(end));
    if (covered < begin) out.push_back({covered, begin, std::nullopt});
    out.push_back({begin, end, token.id});
    covered = end;
  }
  if (covered < text.size()) out.push_back({covered, text.size(), std::nullopt});
  return out;
}

AddedTokens::AddedTokens(const Json& json, const Vocabulary& vocabulary,
                         const Normalizer& normalizer, const std::string& subject) {
  if (json.is_null()) return;
  if (!json.is_array()) throw Error(subject + ": 'added_tokens' is not an array");
  auto next_id = static_cast<int64_t>(vocabulary.tokens());
  std::map<std::string, int32_t> ids;
  for (const Json& entry : json) {
    AddedToken token = read_token(entry, subject);
    if (token.content.empty()) continue;
    const auto known = vocabulary.id(token.content);
    const auto earlier = ids.find(token.content);
    token.id = earlier != ids.end() ? earlier->second
               : known              ? *known
                                    : static_cast<int32_t>(next_id++);
    token.pattern = token.normalized ? normalizer.apply(token.content) : token.content;
    ids[token.content] = token.id;
    by_id_.insert_or_assign(token.id, std::move(token));
  }
  for (const auto& [id, token] : by_id_) (token.normalized ? normalized_ : raw_).add(token);
}

const AddedToken* AddedTokens::find(int32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &found->second;
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  for (const auto& [id, token] : by_id_) {
    if (token.content == content) return &token;
  }
  return nullptr;
}

}  // namespace hone
