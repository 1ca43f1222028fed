// Files from strangers: what is broken, hostile or not implemented is an Error that says where.
#include <doctest/doctest.h>

#include "libcommon/base/error.h"
#include "libcommon/text/tokenizer.h"
#include "tests/text/support.h"

namespace hone {
namespace {

Json valid() {
  return {{"version", "1.0"},
          {"added_tokens", Json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", nullptr},
          {"post_processor", nullptr},
          {"decoder", nullptr},
          {"model",
           {{"type", "BPE"}, {"vocab", {{"a", 0}, {"b", 1}, {"ab", 2}}}, {"merges", {"a b"}}}}};
}

std::string error_of(const test::Files& files) {
  try {
    Tokenizer::from_files(files, "m");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::kBadInput);
    return error.what();
  }
  return "no error";
}

// The document with one field (a JSON pointer) replaced.
std::string error_with(const char* pointer, const char* value) {
  Json document = valid();
  document[Json::json_pointer(pointer)] = Json::parse(value);
  return error_of({{"tokenizer.json", document.dump()}});
}

}  // namespace

TEST_CASE("what is not implemented is refused by name") {
  CHECK(error_of({{"tokenizer.json", valid().dump()}}) == "no error");
  CHECK(error_with("/model/type", R"("WordPiece")") ==
        "m: tokenizer.json: model type 'WordPiece' is not implemented");
  CHECK(error_with("/model/type", R"("Unigram")") ==
        "m: tokenizer.json: model type 'Unigram' is not implemented");
  CHECK(error_with("/pre_tokenizer", R"({"type":"X"})") ==
        "m: tokenizer.json: pre_tokenizer type 'X' is not implemented");
  CHECK(error_with("/normalizer", R"({"type":"Sequence","normalizers":[{"type":"Nmt"}]})") ==
        "m: tokenizer.json: normalizer type 'Nmt' is not implemented");
  CHECK(error_with("/decoder", R"({"type":"CTC"})") ==
        "m: tokenizer.json: decoder type 'CTC' is not implemented");
  CHECK(error_with("/post_processor", R"({"type":"Y"})") ==
        "m: tokenizer.json: post_processor type 'Y' is not implemented");
  for (const char* field : {"/model/dropout", "/model/end_of_word_suffix"}) {
    const char* value = std::string(field) == "/model/dropout" ? "0.1" : R"("</w>")";
    CHECK(error_with(field, value).find("not implemented") != std::string::npos);
  }
  CHECK(
      error_with("/pre_tokenizer", R"({"type":"Split","pattern":{"String":"a"},"behavior":"Z"})") ==
      "m: tokenizer.json: pre_tokenizer Split: behavior 'Z' is not implemented");
}

TEST_CASE("broken and hostile documents") {
  const struct {
    const char *pointer, *value, *says;
  } kCases[] = {
      {"/model", "3", "model is not an object"},
      {"/model/vocab", "[]", "'vocab' is missing or not an object"},
      {"/model/vocab/a", "-1", "not a small count"},
      {"/model/vocab/a", "99999999999", "not a small count"},
      {"/model/vocab/a", "2000000000", "has id 2000000000"},
      {"/model/vocab/a", R"("0")", "not a small count"},
      {"/model/merges", R"(["a c"])", "merge 0 names 'c'"},
      {"/model/merges", R"(["b a"])", "merge 0 names 'ba'"},
      {"/model/merges", R"(["a"])", "merge 0 is not two tokens"},
      {"/model/merges", R"(["a b c"])", "merge 0 is not two tokens"},
      {"/model/merges", R"([["a"]])", "merge 0 is not two tokens"},
      {"/model/merges", "7", "'merges' is missing or not an array"},
      {"/model/unk_token", R"("?")", "unk_token '?' is not in the vocabulary"},
      {"/model/fuse_unk", "1", "'fuse_unk' is not a boolean"},
      {"/added_tokens", "{}", "'added_tokens' is not an array"},
      {"/added_tokens", "[3]", "has no 'content'"},
      {"/added_tokens", R"([{"content":"x","special":"yes"}])", "'special' is not a boolean"},
      {"/normalizer", "[]", "normalizer is not an object"},
      {"/normalizer", R"({"type":"Replace","content":""})", "'pattern' is neither"},
      {"/normalizer", R"({"type":"Replace","pattern":{"String":""},"content":""})",
       "'pattern' is neither"},
      {"/pre_tokenizer", R"({"type":"Split","pattern":{"Regex":"("},"behavior":"Removed"})",
       "regular expression '('"},
      {"/pre_tokenizer", R"({"type":"Metaspace","replacement":"ab"})", "is not one character"},
      {"/pre_tokenizer",
       R"({"type":"Metaspace","replacement":"_","prepend_scheme":"first","add_prefix_space":false})",
       "contradicts"},
      {"/decoder", R"({"type":"Strip","content":" ","start":-1,"stop":0})", "'start'"},
      {"/decoder", R"({"type":"Sequence"})", "'decoders' is missing"},
      {"/post_processor", R"({"type":"TemplateProcessing","single":[]})", "has no $A"},
      {"/post_processor",
       R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}}]})",
       "special token '<s>' has no entry"},
      {"/post_processor", R"({"type":"BertProcessing","cls":["x",-1],"sep":["y",0]})",
       "not a small count"},
  };
  for (const auto& test : kCases) {
    CAPTURE(test.pointer);
    CAPTURE(test.value);
    const std::string error = error_with(test.pointer, test.value);
    CHECK(error.starts_with("m: tokenizer.json: "));
    CHECK_MESSAGE(error.find(test.says) != std::string::npos, error);
  }
}

TEST_CASE("missing, truncated and deep files") {
  CHECK(error_of({}).find("m: has no tokenizer") == 0);
  CHECK(error_of({{"tokenizer.model", "x"}}).find("SentencePiece") != std::string::npos);
  CHECK(error_of({{"vocab.txt", "x"}}).find("WordPiece") != std::string::npos);
  CHECK(error_of({{"tokenizer.json", "[]"}}).find("not a JSON object") != std::string::npos);
  CHECK(error_of({{"tokenizer.json", "{}"}}).find("'model' is missing") != std::string::npos);
  const std::string whole = valid().dump();
  for (size_t size = 0; size < whole.size(); ++size) {
    CHECK(error_of({{"tokenizer.json", whole.substr(0, size)}}).find("not valid JSON") !=
          std::string::npos);
  }
  std::string deep = R"({"type":"Sequence","normalizers":[)";
  for (int i = 0; i < 10; ++i) deep += deep;
  CHECK(error_of({{"tokenizer.json", deep}}).find("tokenizer.json: not valid JSON") !=
        std::string::npos);
  const test::Files pair = {{"vocab.json", R"({"a":0})"}, {"merges.txt", "#version: 0.2\na b\n"}};
  CHECK(error_of(pair).find("does not tell the family") != std::string::npos);
  test::Files unknown = pair;
  unknown["config.json"] = R"({"model_type":"clip"})";
  CHECK(error_of(unknown).find("'clip'") != std::string::npos);
  unknown["config.json"] = R"({"model_type":"gpt2"})";
  CHECK(error_of(unknown).find("merge 0 names 'b'") != std::string::npos);
}

TEST_CASE("text that is not UTF-8 is repaired, not refused") {
  // Neither U+FFFD nor NUL has a token: both vanish, and their neighbours merge.
  const auto tokenizer = Tokenizer::from_files({{"tokenizer.json", valid().dump()}}, "m");
  CHECK(tokenizer->encode("a\xFF"
                          "b",
                          false) == std::vector<int32_t>{2});
  CHECK(tokenizer->encode(std::string("a\0b", 3), false) == std::vector<int32_t>{2});
}

}  // namespace hone
