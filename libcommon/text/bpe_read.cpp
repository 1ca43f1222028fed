// The model object of tokenizer.json -> Bpe: every field is either used or refused.
#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"
#include "libcommon/text/bpe.h"
#include "libcommon/text/component.h"
#include "libcommon/text/unicode.h"

namespace hone {
namespace {

const Json& array_or_object(const Component& model, const char* key, bool object) {
  const auto found = model.json().find(key);
  if (found == model.json().end() || (object ? !found->is_object() : !found->is_array())) {
    throw model.bad(std::string("'") + key + "' is missing or not an " +
                    (object ? "object" : "array"));
  }
  return *found;
}

struct MergeParts {
  std::string left, right;
};

// "left right", or ["left", "right"] where a part may contain a space.
MergeParts parts_of(const Json& merge, size_t index, const std::string& subject) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  if (merge.is_string()) {
    const auto& text = merge.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
      return {text.substr(0, space), text.substr(space + 1)};
    }
  }
  throw Error(subject + ": merge " + std::to_string(index) + " is not two tokens");
}

int32_t merge_token(const Vocabulary& vocabulary, const std::string& token, size_t index,
                    const std::string& subject) {
  const auto id = vocabulary.id(token);
  if (id) return *id;
  throw Error(subject + ": merge " + std::to_string(index) + " names " + quote_name(token) +
              ", which is not in the vocabulary");
}

// hone_merge_ranks[i], or the place itself where the key is absent.
uint32_t rank_of(const Json* ranks, size_t index, const std::string& subject) {
  if (ranks == nullptr) return static_cast<uint32_t>(index);
  const auto rank = small_count((*ranks)[index]);
  if (!rank) {
    throw Error(subject + ": hone_merge_ranks: entry " + std::to_string(index) +
                " is not a small count");
  }
  return static_cast<uint32_t>(*rank);
}

}  // namespace

Bpe::Bpe(const Json& json, const std::string& subject) {
  const Component model(json, "model", subject);
  if (model.type() != "BPE") throw model.not_implemented();
  if (const auto dropout = json.find("dropout"); dropout != json.end() && !dropout->is_null()) {
    if (!dropout->is_number() || dropout->get<double>() != 0) {
      throw model.bad("'dropout' makes ids random; not implemented");
    }
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model.text(key, "").empty()) {
      throw model.bad(std::string("'") + key + "' is not implemented");
    }
  }
  fuse_unknown_ = model.flag("fuse_unk", false);
  byte_fallback_ = model.flag("byte_fallback", false);
  ignore_merges_ = model.flag("ignore_merges", false);
  read_vocabulary(json, subject);
  std::vector<int32_t> merged = read_merges(json, subject);
  if (const std::string unknown = model.text("unk_token", ""); !unknown.empty()) {
    unknown_ = vocabulary_.id(unknown);
    if (!unknown_)
      throw model.bad("unk_token " + quote_name(unknown) + " is not in the vocabulary");
  }
  prepare_characters();
  if (byte_fallback_) find_joints(std::move(merged));
}

void Bpe::read_vocabulary(const Json& json, const std::string& subject) {
  const Component model(json, "model", subject);
  const Json& vocabulary = array_or_object(model, "vocab", true);
  vocabulary_.reserve(vocabulary.size());
  for (const auto& [token, id] : vocabulary.items()) {
    const auto count = small_count(id);
    if (!count) {
      throw model.bad("token " + quote_name(token) + " has an id that is not a small count");
    }
    vocabulary_.add(token, *count, subject);
  }
}

std::vector<int32_t> Bpe::read_merges(const Json& json, const std::string& subject) {
  const Component model(json, "model", subject);
  const Json& merges = array_or_object(model, "merges", false);
  const bool ranked = json.contains("hone_merge_ranks");
  const Json* ranks = ranked ? &array_or_object(model, "hone_merge_ranks", false) : nullptr;
  if (ranks != nullptr && ranks->size() != merges.size()) {
    throw model.bad("hone_merge_ranks has " + std::to_string(ranks->size()) + " entries for " +
                    std::to_string(merges.size()) + " merges");
  }
  merges_ = PairTable(merges.size());
  std::vector<int32_t> results;
  size_t comments = 0;
  for (size_t i = 0; i < merges.size(); ++i) {
    if (merges[i].is_string() && merges[i].get_ref<const std::string&>().starts_with("#version")) {
      ++comments;
      continue;
    }
    const MergeParts parts = parts_of(merges[i], i, subject);
    const int32_t left = merge_token(vocabulary_, parts.left, i, subject);
    const int32_t right = merge_token(vocabulary_, parts.right, i, subject);
    const int32_t merged = merge_token(vocabulary_, parts.left + parts.right, i, subject);
    merges_.put(left, right, {rank_of(ranks, ranked ? i : i - comments, subject), merged});
    results.push_back(merged);
  }
  return results;
}

// Neighbouring characters of all tokens that merges make.
void Bpe::find_joints(std::vector<int32_t> merged) {
  std::sort(merged.begin(), merged.end());
  merged.erase(std::unique(merged.begin(), merged.end()), merged.end());
  std::vector<std::pair<char32_t, char32_t>> joints;
  for (const int32_t id : merged) {
    const std::string& token = vocabulary_.token(id);
    char32_t left = 0;
    for (size_t at = 0; at < token.size();) {
      const Utf8Char right = utf8_char(token, at);
      if (at > 0) joints.emplace_back(left, right.code);
      left = right.code;
      at += right.length;
    }
  }
  std::sort(joints.begin(), joints.end());
  joints.erase(std::unique(joints.begin(), joints.end()), joints.end());
  joints_ = PairTable(joints.size());
  for (const auto& [left, right] : joints) {
    joints_.put(static_cast<int32_t>(left), static_cast<int32_t>(right), {});
  }
}

void Bpe::prepare_characters() {
  constexpr char32_t kTableEnd = 0x800;
  characters_.resize(kTableEnd);
  for (char32_t code = 0; code < kTableEnd; ++code) {
    std::string character;
    append_utf8(character, code);
    characters_[code] = vocabulary_.id(character).value_or(-1);
  }
  byte_ids_.resize(256);
  for (size_t byte = 0; byte < 256; ++byte) {
    std::array<char, 8> name{};
    std::snprintf(name.data(), name.size(), "<0x%02X>", static_cast<unsigned>(byte));
    byte_ids_[byte] = vocabulary_.id(name.data()).value_or(-1);
  }
}

}  // namespace hone
