// Decoders: what each does, and that a stream gives whole characters and, in all, the whole text.
#include "libcommon/text/decoder.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"
#include "libcommon/text/tokenizer.h"
#include "tests/text/support.h"

namespace hone {
namespace {

using Tokens = std::vector<std::string>;

// The parts that come out after each token, and at the end.
Tokens stream(const std::string& json, const Tokens& tokens) {
  const auto chain = Decoder(parse_json(json, "test"), "test").start();
  Tokens parts;
  for (const std::string& token : tokens) {
    chain->push(token);
    parts.push_back(chain->take());
  }
  chain->finish();
  parts.push_back(chain->take());
  return parts;
}

std::string decode(const std::string& json, const Tokens& tokens) {
  std::string text;
  for (const std::string& part : stream(json, tokens)) text += part;
  return text;
}

constexpr const char* kByteLevel = R"({"type":"ByteLevel"})";
constexpr const char* kLlama = R"({"type":"Sequence","decoders":[
  {"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},
  {"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]})";
const std::string kBad = "\xEF\xBF\xBD";

void check_streams(const Tokenizer& tokenizer, uint64_t seed) {
  for (uint64_t i = 0; i < 300; ++i) {
    std::vector<int32_t> ids;
    for (uint64_t k = 0; k < i % 25; ++k) {
      const auto bound = static_cast<uint64_t>(tokenizer.vocab_size()) + 2;  // also none at all
      ids.push_back(static_cast<int32_t>(random_bits(seed, i, k) % bound) - 1);
    }
    StreamDecoder decoder(tokenizer, i % 2 == 0);
    std::string text;
    for (const int32_t id : ids) {
      const std::string part = decoder.push(id);
      REQUIRE(is_utf8(part));
      text += part;
    }
    text += decoder.flush();
    REQUIRE(is_utf8(text));
    REQUIRE(text == tokenizer.decode(ids, i % 2 == 0));
    std::string again;  // a decoder is as new after flush
    for (const int32_t id : ids) again += decoder.push(id);
    again += decoder.flush();
    REQUIRE(again == text);
  }
}

}  // namespace

TEST_CASE("ByteLevel gives a character when its last byte is there") {
  CHECK(stream(kByteLevel, {"\u0120a", "\u00E2\u0124", "\u00AC", "b"}) ==
        Tokens{" a", "", "\u20AC", "b", ""});
  CHECK(stream(kByteLevel, {"\u00E2", "a"}) == Tokens{"", kBad + "a", ""});
  CHECK(stream(kByteLevel, {"a", "\u00E2\u0124"}) == Tokens{"a", "", kBad});
  CHECK(decode(kByteLevel, {"<|\u65E5|>", "\u0120x"}) == "<|\u65E5|> x");  // outside the alphabet
  CHECK(decode(kByteLevel, {}) == "");
}

TEST_CASE("ByteFallback: a run is text or it is U+FFFD, known when it ends") {
  CHECK(stream(kLlama, {"\u2581a", "\u2581b"}) == Tokens{"a", " b", ""});
  CHECK(stream(kLlama, {"x", "<0xC3>", "<0xA9>", "y"}) == Tokens{"x", "", "", "\u00E9y", ""});
  CHECK(decode(kLlama, {"<0x41>", "<0xFF>"}) == kBad + kBad);
  CHECK(decode(kLlama, {"<0xFF>", "a", "<0x0A>"}) == kBad + "a\n");
  CHECK(decode(kLlama, {"<0xZZ>", "<0x41"}) == "<0xZZ><0x41");
  CHECK(decode(kLlama, {"\u2581", "\u2581a"}) == " a");
}

TEST_CASE("Strip, Metaspace, Replace, none") {
  const std::string strip = R"({"type":"Strip","content":"_","start":2,"stop":1})";
  CHECK(decode(strip, {"___a__", "_b_c", "__"}) == "_a_b_c");
  const std::string fused = R"({"type":"Sequence","decoders":[{"type":"Fuse"},)" + strip + "]}";
  CHECK(stream(fused, {"_", "__a", "_", "_", "b_"}) == Tokens{"", "_a", "", "_", "_b", ""});
  const std::string mark = R"({"type":"Metaspace","replacement":"▁","prepend_scheme":)";
  CHECK(decode(mark + R"("always"})", {"\u2581a", "\u2581b\u2581"}) == "a b ");
  CHECK(decode(mark + R"("never"})", {"\u2581a", "\u2581b"}) == " a b");
  CHECK(decode(R"({"type":"Replace","pattern":{"Regex":"[0-9]+"},"content":"#"})", {"a12b3"}) ==
        "a#b#");
  CHECK(decode("null", {"a", "b"}) == "a b");
}

TEST_CASE("a stream gives what whole decoding gives") {
  const std::string folder = HONE_TESTDATA "/tokenizers";
  if (std::filesystem::is_directory(folder)) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const auto files = test::side_files(entry.path().string());
      if (files.contains("tokenizer.json")) check_streams(*Tokenizer::from_files(files, "t"), 5);
    }
  }
  if (const auto shared = test::shared_folder()) {
    for (const char* model : {"/models/stories260K-hf-llama", "/models/tinystories656K-hf"}) {
      check_streams(*Tokenizer::from_files(test::side_files(*shared + model), model), 6);
    }
  }
}

}  // namespace hone
