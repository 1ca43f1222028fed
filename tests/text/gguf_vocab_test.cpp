// GGUF vocabularies: SentencePiece's merge order, the table of `pre` names, refusals, round trips.
#include "libcommon/text/gguf_vocab.h"

#include <doctest/doctest.h>

#include "libcommon/base/error.h"
#include "libcommon/text/tokenizer.h"
#include "tests/text/support.h"

namespace hone {
namespace {

using Ids = std::vector<int32_t>;
const std::string kMark = "\u2581";

// <unk> <s> </s>, the 256 bytes, then the pieces with their scores.
GgufVocabulary llama_vocabulary(const std::vector<std::pair<std::string, float>>& pieces) {
  GgufVocabulary out;
  out.model = "llama";
  out.tokens = {"<unk>", "<s>", "</s>"};
  out.types = {2, 3, 3};
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    out.tokens.emplace_back(name);
    out.types.push_back(6);
  }
  out.scores.assign(out.tokens.size(), 0);
  for (const auto& [piece, score] : pieces) {
    out.tokens.push_back(piece);
    out.scores.push_back(score);
    out.types.push_back(1);
  }
  out.unk = 0;
  out.bos = 1;
  out.eos = 2;
  return out;
}

// SentencePiece's definition: join the adjacent pair whose text has the highest score, the leftmost
// among equals.
std::vector<std::string> reference(const GgufVocabulary& vocabulary, const std::string& text) {
  std::map<std::string, float> scores;
  for (size_t id = 259; id < vocabulary.tokens.size(); ++id) {
    scores[vocabulary.tokens[id]] = vocabulary.scores[id];
  }
  std::vector<std::string> symbols;
  for (const char c : text) symbols.emplace_back(1, c);
  for (;;) {
    size_t best = symbols.size();
    float best_score = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = scores.find(symbols[i] + symbols[i + 1]);
      if (found != scores.end() && (best == symbols.size() || found->second > best_score)) {
        best = i;
        best_score = found->second;
      }
    }
    if (best == symbols.size()) return symbols;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
}

std::unique_ptr<Tokenizer> load(const GgufVocabulary& vocabulary) {
  return Tokenizer::from_files(tokenizer_files_from_gguf(vocabulary, "m"), "m");
}

GgufVocabulary gpt2_vocabulary() {
  GgufVocabulary out;
  out.model = "gpt2";
  out.pre = "gpt-2";
  out.tokens = {"a", "b", "\u0120", "\u0120a", "1", "<|end|>", "<user>", "[PAD7]"};
  out.types = {1, 1, 1, 1, 1, 3, 4, 5};
  out.merges = {"\u0120 a"};
  out.eos = 5;
  return out;
}

std::string error_of(const GgufVocabulary& vocabulary) {
  try {
    tokenizer_files_from_gguf(vocabulary, "m");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("llama: merges reproduce SentencePiece's choice, ties included") {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    std::vector<std::pair<std::string, float>> pieces = {{"a", 0}, {"b", 0}, {"c", 0}};
    for (uint64_t i = 0; i < 25; ++i) {
      std::string piece;
      for (uint64_t k = 0; k < 2 + random_bits(seed, i, 7) % 3; ++k) {
        piece += static_cast<char>('a' + random_bits(seed, i, k) % 3);
      }
      const bool known = std::any_of(pieces.begin(), pieces.end(),
                                     [&](const auto& other) { return other.first == piece; });
      // Few different scores: many ties.
      if (!known) pieces.emplace_back(piece, -static_cast<float>(random_bits(seed, i, 8) % 6));
    }
    GgufVocabulary vocabulary = llama_vocabulary(pieces);
    vocabulary.add_space_prefix = false;
    const auto tokenizer = load(vocabulary);
    for (uint64_t i = 0; i < 20; ++i) {
      std::string text;
      for (uint64_t k = 0; k < 1 + i * 5; ++k) {
        text += static_cast<char>('a' + random_bits(seed, 1000 + i, k) % 3);
      }
      CAPTURE(text);
      std::vector<std::string> got;
      for (const int32_t id : tokenizer->encode(text, false)) {
        got.push_back(tokenizer->token_text(id));
      }
      CHECK(got == reference(vocabulary, text));
    }
  }
}

TEST_CASE("llama: spaces, bytes and what surrounds a text") {
  GgufVocabulary vocabulary =
      llama_vocabulary({{kMark, 0}, {"h", 0}, {"i", 0}, {"hi", -1}, {kMark + "hi", -2}});
  CHECK(load(vocabulary)->encode("hi\u00E9", true) == Ids{1, 263, 3 + 0xC3, 3 + 0xA9});
  CHECK(load(vocabulary)->encode(" hi</s>hi", false) == Ids{259, 263, 2, 263});
  CHECK(load(vocabulary)->decode(Ids{1, 263, 263}, true) == "hi hi");
  CHECK(load(vocabulary)->bos() == 1);
  CHECK(load(vocabulary)->eos() == Ids{2});
  vocabulary.add_space_prefix = false;
  vocabulary.add_bos = false;
  vocabulary.add_eos = true;
  CHECK(load(vocabulary)->encode("hi", true) == Ids{262, 2});
  CHECK(load(vocabulary)->decode(Ids{263}, true) == " hi");
}

TEST_CASE("gpt2: added tokens and the begin token of the family") {
  GgufVocabulary vocabulary = gpt2_vocabulary();
  CHECK(load(vocabulary)->encode("a a<|end|> b<user>", true) == Ids{0, 3, 5, 2, 1, 6});
  CHECK(load(vocabulary)->is_special(5));
  CHECK_FALSE(load(vocabulary)->is_special(6));
  vocabulary.pre = "llama-bpe";
  vocabulary.bos = 5;
  CHECK(load(vocabulary)->encode("a", true) == Ids{5, 0});
  vocabulary.add_bos = false;
  CHECK(load(vocabulary)->encode("a", true) == Ids{0});
}

TEST_CASE("vocabularies that cannot be used") {
  GgufVocabulary vocabulary = gpt2_vocabulary();
  vocabulary.pre = "strange";
  CHECK(error_of(vocabulary) == "m: tokenizer.ggml.pre 'strange' is not implemented");
  vocabulary.pre = "";
  CHECK(error_of(vocabulary).find("tokenizer.ggml.pre is missing") != std::string::npos);
  vocabulary = gpt2_vocabulary();
  vocabulary.model = "bert";
  CHECK(error_of(vocabulary) == "m: tokenizer.ggml.model 'bert' is not implemented");
  vocabulary = gpt2_vocabulary();
  vocabulary.types.pop_back();
  CHECK(error_of(vocabulary).find("8 tokens, but 7 types") != std::string::npos);
  vocabulary = gpt2_vocabulary();
  vocabulary.eos = 8;
  CHECK(error_of(vocabulary).find("eos token has id 8 of 8") != std::string::npos);
  vocabulary = gpt2_vocabulary();
  vocabulary.tokens[0] = "\xFF";
  CHECK(error_of(vocabulary).find("is not UTF-8") != std::string::npos);
  vocabulary = gpt2_vocabulary();
  vocabulary.merges.clear();
  CHECK(error_of(vocabulary).find("merges is missing") != std::string::npos);
  vocabulary.merges = {"ab"};
  CHECK(error_of(vocabulary).find("'ab' is not two tokens") != std::string::npos);
  vocabulary = llama_vocabulary({{"a", std::numeric_limits<float>::quiet_NaN()}});
  CHECK(error_of(vocabulary).find("has no number as score") != std::string::npos);
  vocabulary.scores.clear();
  CHECK(error_of(vocabulary).find("scores is missing") != std::string::npos);
  CHECK(error_of(GgufVocabulary{.model = "gpt2"}).find("tokens is missing") != std::string::npos);
}

TEST_CASE("to files and back") {
  GgufVocabulary vocabulary = gpt2_vocabulary();
  vocabulary.chat_template = "{{ x }}";
  for (const char* pre : {"gpt-2", "llama-bpe", "qwen2", "bloom", "starcoder", "tekken"}) {
    vocabulary.pre = pre;
    const GgufVocabulary back =
        gguf_vocabulary_from_files(tokenizer_files_from_gguf(vocabulary, "m"), "m");
    CHECK(back.model == "gpt2");
    CHECK(back.pre == pre);
    CHECK(back.tokens == vocabulary.tokens);
    CHECK(back.merges == vocabulary.merges);
    CHECK(back.eos == 5);
    CHECK(back.add_bos == false);
    CHECK(back.chat_template == "{{ x }}");
    CHECK(back.types == std::vector<int32_t>{1, 1, 1, 1, 1, 3, 4, 1});
  }
}

TEST_CASE("llama: to files and back keeps order and kinds") {
  const GgufVocabulary vocabulary =
      llama_vocabulary({{kMark, 0}, {"h", 0}, {"i", 0}, {"hi", -5}, {kMark + "h", -9}});
  const GgufVocabulary back =
      gguf_vocabulary_from_files(tokenizer_files_from_gguf(vocabulary, "m"), "m");
  CHECK(back.model == "llama");
  CHECK(back.tokens == vocabulary.tokens);
  CHECK(back.types == vocabulary.types);
  CHECK(back.scores[262] > back.scores[263]);
  CHECK(back.bos == 1);
  CHECK(back.unk == 0);
  CHECK(back.add_bos == true);
  CHECK(back.add_space_prefix == true);
}

TEST_CASE("tokenizers without a GGUF form") {
  const auto error_with = [](const char* pointer, const char* value) -> std::string {
    auto files = tokenizer_files_from_gguf(gpt2_vocabulary(), "m");
    Json document = parse_json(files["tokenizer.json"], "m");
    document[Json::json_pointer(pointer)] = Json::parse(value);
    files["tokenizer.json"] = document.dump();
    try {
      gguf_vocabulary_from_files(files, "m");
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  CHECK(error_with("/normalizer", R"({"type":"Lowercase"})") ==
        "m: tokenizer.json: normalizer type 'Lowercase' has no form in GGUF");
  CHECK(error_with("/normalizer", R"({"type":"NFC"})") == "no error");
  const std::string unknown =
      error_with("/pre_tokenizer", R"({"type":"Sequence","pretokenizers":[{"type":"Split",
      "pattern":{"Regex":"x+"},"behavior":"Isolated","invert":false},
      {"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]})");
  CHECK(unknown.find("tokenizer.ggml.pre names; first: 'x+'") != std::string::npos);
  CHECK(error_with("/pre_tokenizer", R"({"type":"Whitespace"})")
            .find("pre_tokenizer type 'Whitespace' has no form") != std::string::npos);
}

}  // namespace hone
