// Added tokens: leftmost-longest, stripping, single words, normalized ones.
#include "libcommon/text/added_tokens.h"

#include <doctest/doctest.h>

#include "libcommon/base/error.h"
#include "libcommon/text/tokenizer.h"
#include "tests/text/support.h"

namespace hone {
namespace {

using Ids = std::vector<int32_t>;

// A document whose model knows one-letter tokens: a = 0 ... z = 25, space = 26, "_" = 27.
Json letters(Json added) {
  Json vocabulary = Json::object();
  for (int i = 0; i < 26; ++i) vocabulary[std::string(1, static_cast<char>('a' + i))] = i;
  vocabulary[" "] = 26;
  vocabulary["_"] = 27;
  return {
      {"version", "1.0"},
      {"added_tokens", std::move(added)},
      {"model", {{"type", "BPE"}, {"vocab", std::move(vocabulary)}, {"merges", Json::array()}}}};
}

Json token(const char* content, Json options = Json::object()) {
  Json json = {{"id", 0}, {"content", content}};
  json.update(options);
  return json;
}

Ids encode(const Json& document, const std::string& text) {
  return Tokenizer::from_files({{"tokenizer.json", document.dump()}}, "test")->encode(text, false);
}

}  // namespace

TEST_CASE("the leftmost match counts, then the longest") {
  const Json document = letters({token("<x>"), token("<x><y>"), token("b<"), token("<")});
  CHECK(encode(document, "a<x>") == Ids{0, 28});
  CHECK(encode(document, "<x><y>") == Ids{29});
  CHECK(encode(document, "<x><z>") == Ids{28, 31, 25});  // '>' has no token
  CHECK(encode(document, "b<x>") == Ids{30, 23});
  CHECK(encode(document, "") == Ids{});
}

TEST_CASE("stripping of white space") {
  const Json document = letters({token("<l>", {{"lstrip", true}}), token("<r>", {{"rstrip", true}}),
                                 token("<b>", {{"lstrip", true}, {"rstrip", true}})});
  CHECK(encode(document, "a  <l> b") == Ids{0, 28, 26, 1});
  CHECK(encode(document, "a <r> \u3000 b") == Ids{0, 26, 29, 1});
  CHECK(encode(document, "a <b> <b> b") == Ids{0, 30, 30, 1});
  CHECK(encode(document, "   <l>") == Ids{28});
}

TEST_CASE("single words") {
  const Json document = letters({token("ab", {{"single_word", true}}), token("<s>")});
  CHECK(encode(document, "ab ab") == Ids{28, 26, 28});
  CHECK(encode(document, "abb cab") == Ids{0, 1, 1, 26, 2, 0, 1});
  CHECK(encode(document, "ab_") == Ids{0, 1, 27});
  CHECK(encode(document,
               "\u00E9"
               "ab") == Ids{0, 1});  // a letter before
  CHECK(encode(document,
               "\u00BD"
               "ab") == Ids{28});  // a fraction is none
  CHECK(encode(document, "<s>ab<s>") == Ids{29, 28, 29});
}

TEST_CASE("normalized tokens are looked for in normalized text") {
  Json document = letters({token("DAY", {{"normalized", true}}), token("RAW")});
  document["normalizer"] = {{"type", "Lowercase"}};
  CHECK(encode(document, "aDay") == Ids{0, 28});
  CHECK(encode(document, "RAWraw") == Ids{29, 17, 0, 22});
}

TEST_CASE("ids: the vocabulary's, else the next ones") {
  Json added = {token("b"), token("new"), token("new2", {{"special", true}})};
  added[1]["id"] = 4'000'000'000;  // not believed
  const auto tokenizer = Tokenizer::from_files({{"tokenizer.json", letters(added).dump()}}, "test");
  CHECK(tokenizer->encode("abnewnew2", false) == Ids{0, 1, 28, 29});
  CHECK(tokenizer->vocab_size() == 30);
  CHECK(tokenizer->is_special(29));
  CHECK_FALSE(tokenizer->is_special(28));
  CHECK_FALSE(tokenizer->is_special(-1));
  CHECK(tokenizer->token_text(29) == "new2");
  CHECK(tokenizer->token_text(-5) == "");
  CHECK(tokenizer->token_text(1'000'000) == "");
}

TEST_CASE("begin and end ids: generation_config, config, tokenizer_config") {
  test::Files files = {{"tokenizer.json", letters({token("<s>"), token("</s>")}).dump()}};
  const auto load = [&files] { return Tokenizer::from_files(files, "test"); };
  CHECK(load()->bos() == std::nullopt);
  CHECK(load()->eos().empty());
  files["special_tokens_map.json"] = R"({"eos_token": {"content": "</s>"}})";
  CHECK(load()->eos() == Ids{29});
  files["tokenizer_config.json"] = R"({"bos_token": "<s>", "eos_token": "a"})";
  CHECK(load()->bos() == 28);
  CHECK(load()->eos() == Ids{0});
  files["config.json"] = R"({"bos_token_id": 5, "eos_token_id": [6, 7]})";
  CHECK(load()->bos() == 5);
  CHECK(load()->eos() == Ids{6, 7});
  files["generation_config.json"] = R"({"bos_token_id": null, "eos_token_id": 8})";
  CHECK(load()->bos() == 5);
  CHECK(load()->eos() == Ids{8});
  for (const char* silent : {"{}", R"({"eos_token_id": null})", R"({"eos_token_id": -1})"}) {
    files["generation_config.json"] = silent;  // it alone counts, as in transformers' generate
    CHECK(load()->eos().empty());
  }
  files["generation_config.json"] = R"({"eos_token_id": "x"})";
  CHECK_THROWS_WITH_AS(load(), doctest::Contains("generation_config.json: 'eos_token_id'"), Error);
}

}  // namespace hone
