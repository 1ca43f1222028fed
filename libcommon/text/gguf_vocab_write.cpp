// tokenizer.json -> GGUF vocabulary. GGUF can say less than tokenizer.json: what has no form there
// is refused, for a model that splits text otherwise than its GGUF says is worse than none.
#include <algorithm>

#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"
#include "libcommon/text/gguf_vocab.h"
#include "libcommon/text/side_files.h"
#include "libcommon/text/split_families.h"
#include "libcommon/text/tokenizer_parts.h"

namespace hone {
namespace {

struct Source {
  const SideFiles& files;
  const Json& document;
  const Tokenizer::Parts& parts;
  std::string subject;
};

std::string type_of(const Json& component) {
  const Json type = field(component, "type");
  return type.is_string() ? type.get<std::string>() : "";
}

Error no_form(const Source& source, const std::string& what) {
  return Error(source.subject + ": " + what + " has no form in GGUF");
}

// A Sequence's steps, or the component itself, or nothing for null.
std::vector<Json> steps_of(const Json& component, const char* children) {
  if (component.is_null()) return {};
  if (type_of(component) != "Sequence") return {component};
  std::vector<Json> steps;
  for (const Json& step : component[children]) {
    for (Json& inner : steps_of(step, children)) steps.push_back(std::move(inner));
  }
  return steps;
}

bool is_space_replace(const Json& step) {
  return type_of(step) == "Replace" && field(field(step, "pattern"), "String") == " " &&
         field(step, "content") == "\u2581";
}

bool is_space_split(const Json& step) {  // no effect once spaces are gone
  return type_of(step) == "Split" && field(field(step, "pattern"), "String") == " ";
}

// Llama's kind: spaces become U+2581, with or without one in front.
bool reads_space_prefix(const Source& source) {
  bool prefix = false, replaced = false;
  for (const Json& step : steps_of(field(source.document, "normalizer"), "normalizers")) {
    if (type_of(step) == "Prepend" && field(step, "prepend") == "\u2581") {
      prefix = true;
    } else if (is_space_replace(step)) {
      replaced = true;
    } else {
      throw no_form(source, "normalizer type '" + type_of(step) + "'");
    }
  }
  for (const Json& step : steps_of(field(source.document, "pre_tokenizer"), "pretokenizers")) {
    if (type_of(step) == "Metaspace" && field(step, "replacement") == "\u2581" && !replaced &&
        field(step, "split") == false) {
      prefix = field(step, "prepend_scheme") != "never" && field(step, "add_prefix_space") != false;
      replaced = true;
    } else if (!is_space_split(step) || !replaced) {
      throw no_form(source, "pre_tokenizer type '" + type_of(step) + "'");
    }
  }
  if (!replaced) throw no_form(source, "a vocabulary without spaces as U+2581");
  return prefix;
}

// tokens, types: vocabulary, then added tokens over it, gaps as "[PADn]" up to the model's size.
void fill_tokens(const Source& source, GgufVocabulary& out) {
  const Vocabulary& vocabulary = source.parts.model.vocabulary();
  const AddedTokens& added = source.parts.added;
  const Json config = parse_side_file(source.files, "config.json", source.subject).value_or(Json());
  auto size = static_cast<size_t>(std::max(vocabulary.end_id(), added.end_id()));
  const Json padded = field(config, "vocab_size");
  // Rows of the embedding may outnumber tokens, within reason.
  if (padded.is_number_unsigned() && padded.get<uint64_t>() <= 2 * size + 65536) {
    size = std::max(size, padded.get<size_t>());
  }
  for (size_t i = 0; i < size; ++i) {
    const auto id = static_cast<int32_t>(i);
    if (const AddedToken* token = added.find(id)) {
      out.tokens.push_back(token->content);
      out.types.push_back(token->special ? kGgufControl : kGgufUser);
    } else if (vocabulary.has(id)) {
      out.tokens.push_back(vocabulary.token(id));
      out.types.push_back(kGgufNormal);
    } else {
      out.tokens.push_back("[PAD" + std::to_string(i) + "]");
      out.types.push_back(kGgufUnused);
    }
  }
}

struct MergeList {
  std::vector<std::pair<std::string, std::string>> merges;
  std::vector<int64_t> ranks;
};

MergeList read_merges(const Json& model) {
  MergeList out;
  const Json ranks = field(model, "hone_merge_ranks");
  const Json merges = field(model, "merges");
  for (size_t i = 0; i < merges.size(); ++i) {
    const Json& merge = merges[i];
    if (merge.is_array()) {
      out.merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
    } else {
      const auto text = merge.get<std::string>();
      if (text.starts_with("#version")) continue;
      const size_t space = text.find(' ');
      out.merges.emplace_back(text.substr(0, space), text.substr(space + 1));
    }
    out.ranks.push_back(ranks.is_array() ? ranks[i].get<int64_t>() : static_cast<int64_t>(i));
  }
  return out;
}

std::string without_spaces(std::string part) {
  std::string out;
  for (const char c : part) out += c == ' ' ? std::string("\u0120") : std::string(1, c);
  return out;
}

void fill_gpt2(const Source& source, const std::vector<std::string>& splits, GgufVocabulary& out) {
  const Json& model = source.document["model"];
  for (const Json& step : steps_of(field(source.document, "normalizer"), "normalizers")) {
    if (type_of(step) != "NFC") throw no_form(source, "normalizer type '" + type_of(step) + "'");
  }
  const SplitFamily* family = find_split_family(splits, field(model, "ignore_merges") == true);
  if (family == nullptr) {
    throw Error(source.subject + ": pre_tokenizer: its split expressions are none of those that " +
                "GGUF's tokenizer.ggml.pre names; first: " +
                (splits.empty() ? "none" : quote_name(splits[0])));
  }
  out.model = "gpt2";
  out.pre = family->names[0];
  fill_tokens(source, out);
  for (const auto& [left, right] : read_merges(model).merges) {
    out.merges.push_back(without_spaces(left) + " " + without_spaces(right));
  }
}

constexpr float kAddedScore = -1000;  // convention of llama.cpp's converters

// Scores from merges: a piece that merges earlier scores higher; a reader that merges by score asks
// only for the order. Single characters, which nothing merges into, score 0.
void fill_scores(const Source& source, GgufVocabulary& out) {
  const MergeList list = read_merges(source.document["model"]);
  std::map<std::string, int64_t> rank;
  for (size_t i = 0; i < list.merges.size(); ++i) {
    rank.try_emplace(list.merges[i].first + list.merges[i].second, list.ranks[i]);
  }
  for (size_t id = 0; id < out.tokens.size(); ++id) {
    const auto found = rank.find(out.tokens[id]);
    const bool mergeable = out.types[id] == kGgufNormal || out.types[id] == kGgufUser;
    out.scores.push_back(mergeable && found != rank.end() ? -static_cast<float>(found->second)
                         : out.types[id] == kGgufUser     ? kAddedScore
                                                          : 0.0F);
  }
}

bool is_byte_token(const std::string& token) {
  const auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); };
  return token.size() == 6 && token.starts_with("<0x") && token[5] == '>' && hex(token[3]) &&
         hex(token[4]);
}

void fill_llama(const Source& source, GgufVocabulary& out) {
  out.add_space_prefix = reads_space_prefix(source);
  const Json& model = source.document["model"];
  if (field(model, "byte_fallback") != true) {
    throw no_form(source, "a BPE model that is neither byte-level nor has byte_fallback");
  }
  out.model = "llama";
  out.pre = "default";
  fill_tokens(source, out);
  for (size_t id = 0; id < out.tokens.size(); ++id) {
    if (out.types[id] == kGgufNormal && is_byte_token(out.tokens[id])) out.types[id] = kGgufByte;
    if (field(model, "unk_token") == out.tokens[id]) {
      out.types[id] = kGgufUnknown;
      out.unk = static_cast<int64_t>(id);
    }
  }
  fill_scores(source, out);
}

// bos, eos, and whether encoding adds them: what the post-processor puts around a text.
void fill_special(const Source& source, GgufVocabulary& out) {
  const auto id_of = [&source](std::string_view token) { return source.parts.id_of(token); };
  const auto size = static_cast<int64_t>(out.tokens.size());
  const auto in_range = [size](int32_t id) { return id < size; };
  const auto bos = begin_id(source.files, id_of, source.subject);
  if (bos && in_range(*bos)) out.bos = *bos;
  const auto eos = end_id(source.files, id_of, source.subject);
  if (eos && in_range(*eos)) out.eos = *eos;
  const PostProcessor& post = source.parts.post_processor;
  if (post.before.size() > 1 || post.after.size() > 1) {
    throw no_form(source, "a post_processor that adds several tokens on one side");
  }
  out.add_bos = !post.before.empty();
  out.add_eos = !post.after.empty();
  if (!post.before.empty()) out.bos = post.before[0];
  if (!post.after.empty()) out.eos = post.after[0];
}

}  // namespace

GgufVocabulary gguf_vocabulary_from_files(const std::map<std::string, std::string>& files,
                                          const std::string& subject) {
  const TokenizerDocument document = tokenizer_document(files, subject);
  const Tokenizer::Parts parts(document.json, document.subject);
  const Source source{files, document.json, parts, document.subject};
  GgufVocabulary out;
  const Json pre_tokenizer = field(document.json, "pre_tokenizer");
  if (const auto splits = byte_level_splits(pre_tokenizer)) {
    fill_gpt2(source, *splits, out);
  } else {
    fill_llama(source, out);
  }
  fill_special(source, out);
  out.chat_template = chat_template_text(files, source.subject).value_or("");
  return out;
}

}  // namespace hone
