// Whole tokenizers against stored vectors: llama.cpp's for GGUF vocabularies, the `tokenizers`
// library's for tokenizer.json files.
#include <doctest/doctest.h>

#include <filesystem>
#include <set>
#include <sstream>

#include "libcommon/base/error.h"
#include "libcommon/io/json.h"
#include "libcommon/text/tokenizer.h"
#include "tests/text/support.h"

namespace hone {
namespace {

struct Case {
  std::string text;
  std::vector<int32_t> ids;
};

// NAME.inp: cases between lines "__ggml_vocab_test__"; NAME.out: a line of ids for each.
std::vector<Case> read_cases(const std::string& path) {
  const std::string separator = "\n__ggml_vocab_test__\n";
  const std::string inputs = test::read_file(path + ".inp").value();
  std::istringstream lines(test::read_file(path + ".out").value());
  std::vector<Case> cases;
  for (size_t begin = 0; begin <= inputs.size();) {
    size_t end = inputs.find(separator, begin);
    if (end == std::string::npos) end = inputs.size();
    Case next{inputs.substr(begin, end - begin), {}};
    std::string line;
    if (!std::getline(lines, line)) break;
    std::istringstream numbers(line);
    for (int32_t id; numbers >> id;) next.ids.push_back(id);
    cases.push_back(std::move(next));
    begin = end + separator.size();
  }
  return cases;
}

void check_cases(const Tokenizer& tokenizer, const std::vector<Case>& cases) {
  REQUIRE(cases.size() > 40);
  for (const Case& expected : cases) {
    CAPTURE(expected.text);
    CHECK(tokenizer.encode(expected.text, false) == expected.ids);
  }
}

// Two forms of a vocabulary that must not differ.
void check_equal(const Tokenizer& a, const Tokenizer& b) {
  for (uint64_t i = 0; i < 300; ++i) {
    const std::string text = test::random_text(7, i);
    CAPTURE(text);
    const std::vector<int32_t> ids = a.encode(text, true);
    CHECK(b.encode(text, true) == ids);
    CHECK(b.decode(ids, false) == a.decode(ids, false));
  }
}

void check_gguf(const std::string& name, const std::string& file) {
  const auto shared = test::shared_folder();
  if (!shared) {
    MESSAGE("skipped: HONE_SHARED is not set");
    return;
  }
  const std::string path = *shared + "/tokenizers/" + name + "/" + file;
  const GgufVocabulary vocabulary = test::read_gguf_vocabulary(path);
  const auto files = tokenizer_files_from_gguf(vocabulary, name);
  const auto tokenizer = Tokenizer::from_files(files, name);
  CHECK(tokenizer->vocab_size() == static_cast<int64_t>(vocabulary.tokens.size()));
  check_cases(*tokenizer, read_cases(path));

  const GgufVocabulary back = gguf_vocabulary_from_files(files, name);
  CHECK(back.tokens == vocabulary.tokens);
  CHECK(back.model == vocabulary.model);
  check_equal(*tokenizer, *Tokenizer::from_files(tokenizer_files_from_gguf(back, name), name));
}

}  // namespace

TEST_CASE("GGUF vocabulary gpt-2: llama.cpp's vectors") {
  check_gguf("gpt2", "ggml-vocab-gpt-2.gguf");
}

TEST_CASE("GGUF vocabulary llama-spm: llama.cpp's vectors") {
  check_gguf("llama-spm", "ggml-vocab-llama-spm.gguf");
}

TEST_CASE("GGUF vocabulary phi-3: llama.cpp's vectors") {
  check_gguf("phi-3", "ggml-vocab-phi-3.gguf");
}

TEST_CASE("vocab.json and merges.txt of GPT-2") {
  const auto shared = test::shared_folder();
  if (!shared) {
    MESSAGE("skipped: HONE_SHARED is not set");
    return;
  }
  test::Files files = test::side_files(*shared + "/tokenizers/gpt2");
  CHECK_THROWS_WITH_AS(Tokenizer::from_files(files, "m"), doctest::Contains("family"), Error);
  files["config.json"] = R"({"model_type": "gpt2", "eos_token_id": 50256})";
  const auto tokenizer = Tokenizer::from_files(files, "gpt2");
  check_cases(*tokenizer, read_cases(*shared + "/tokenizers/gpt2/ggml-vocab-gpt-2.gguf"));
  CHECK(tokenizer->eos() == std::vector<int32_t>{50256});
  CHECK(tokenizer->is_special(50256));
  CHECK(tokenizer->encode("a<|endoftext|>b", false) == std::vector<int32_t>{64, 50256, 65});
}

TEST_CASE("stored vectors of the tokenizers library") {
  const std::string folder = HONE_TESTDATA "/tokenizers";
  if (!std::filesystem::is_directory(folder)) {
    MESSAGE("skipped: no testdata/tokenizers");
    return;
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string family = entry.path().string();
    const auto vectors = test::read_file(family + "/vectors.jsonl");
    if (!vectors) continue;
    CAPTURE(family);
    const auto tokenizer = Tokenizer::from_files(test::side_files(family), family);
    std::istringstream lines(*vectors);
    int checked = 0;
    for (std::string line; std::getline(lines, line); ++checked) {
      const Json expected = parse_json(line, family);
      const auto text = expected["text"].get<std::string>();
      CAPTURE(text);
      const auto ids = expected["ids"].get<std::vector<int32_t>>();
      CHECK(tokenizer->encode(text, true) == ids);
      CHECK(tokenizer->encode(text, false) ==
            expected["ids_no_special"].get<std::vector<int32_t>>());
      CHECK(tokenizer->decode(ids, false) == expected["decoded"].get<std::string>());
      CHECK(tokenizer->decode(ids, true) == expected["decoded_skip_special"].get<std::string>());
    }
    CHECK(checked > 0);
  }
}

}  // namespace hone
