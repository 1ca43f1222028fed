// Pre-tokenizers: the five split behaviours, the expressions of the families piece by piece, and
// the hand-written scanners against the engine.
#include <doctest/doctest.h>

#include "libcommon/base/error.h"
#include "libcommon/text/pre_tokenizer.h"
#include "libcommon/text/split.h"
#include "libcommon/text/split_families.h"
#include "tests/text/support.h"

namespace hone {
namespace {

using Words = std::vector<std::string>;

Words words(const Pieces& pieces) {
  Words out;
  for (const Span& span : pieces.spans) {
    out.push_back(pieces.text.substr(span.begin, span.end - span.begin));
  }
  return out;
}

Words pre_tokenize(const std::string& json, const std::string& text, bool at_start = true) {
  return words(PreTokenizer(parse_json(json, "test"), "test").apply(text, at_start));
}

Words split(const char* behavior, bool invert, const std::string& text) {
  const Json json = {{"type", "Split"},
                     {"pattern", {{"String", "-"}}},
                     {"behavior", behavior},
                     {"invert", invert}};
  return pre_tokenize(json.dump(), text);
}

// The pieces before bytes become characters: the family's expressions, one after the other.
Words family_pieces(const char* name, const std::string& text) {
  const SplitFamily* family = find_split_family(name);
  REQUIRE(family != nullptr);
  std::vector<Span> spans = {{0, text.size()}};
  for (const char* expression : family->splits) {
    if (expression == nullptr) break;
    const Splitter splitter(Pattern::regex(expression, name), SplitBehavior::kIsolated, false);
    std::vector<Span> next;
    for (const Span& span : spans) splitter.split(text, span, next);
    spans = next;
  }
  return words({text, spans, true});
}

}  // namespace

TEST_CASE("split behaviours") {
  const std::string text = "the-final--countdown";
  CHECK(split("Removed", false, text) == Words{"the", "final", "countdown"});
  CHECK(split("Isolated", false, text) == Words{"the", "-", "final", "-", "-", "countdown"});
  CHECK(split("MergedWithPrevious", false, text) == Words{"the-", "final-", "-", "countdown"});
  CHECK(split("MergedWithNext", false, text) == Words{"the", "-final", "-", "-countdown"});
  CHECK(split("Contiguous", false, text) == Words{"the", "-", "final", "--", "countdown"});
  CHECK(split("Removed", true, text) == Words{"-", "-", "-"});
  CHECK(split("MergedWithNext", false, "--") == Words{"-", "-"});
  CHECK(split("Isolated", false, "").empty());
}

TEST_CASE("expressions of the families") {
  const std::string text =
      "Hello, world (x|y) foo\u2026 12345 I'VE  we'll\u3000\u65E5\u672C\n\n  end \u00BD\u00B2";
  const std::string blank = "\u3000", nihon = "\u65E5\u672C", dots = "\u2026",
                    half = "\u00BD\u00B2";
  CHECK(family_pieces("bloom", text) == Words{"Hello", ",", " world", " (", "x", "|", "y", ")",
                                              " foo", dots, " 12345", " I'VE", " ", " we'll", blank,
                                              nihon, "\n\n ", " end", " " + half});
  CHECK(family_pieces("gpt-2", text) ==
        Words{"Hello", ",",   " world", " (",    "x",    "|",       "y", ")",
              " foo",  dots,  " 12345", " I",    "'",    "VE",      " ", " we",
              "'ll",   blank, nihon,    "\n\n ", " end", " " + half});
  CHECK(family_pieces("llama-bpe", text) ==
        Words{"Hello", ",",           " world", " (", "x",    "|y",  ")", " foo",
              dots,    " ",           "123",    "45", " I",   "'VE", " ", " we",
              "'ll",   blank + nihon, "\n\n",   " ",  " end", " ",   half});
  CHECK(family_pieces("qwen2", text) ==
        Words{"Hello", ",",   " world",      " (",   "x", "|y",   ")",  " foo",   dots,
              " ",     "1",   "2",           "3",    "4", "5",    " I", "'VE",    " ",
              " we",   "'ll", blank + nihon, "\n\n", " ", " end", " ",  "\u00BD", "\u00B2"});
  CHECK(family_pieces("starcoder", "ab 12 c") == Words{"ab", " ", "1", "2", " c"});
  CHECK(family_pieces("tekken", "camelCase HTTPServer 12") ==
        Words{"camel", "Case", " HTTPServer", " ", "1", "2"});
  CHECK(family_pieces("gpt-4o", "it's 1234") == Words{"it's", " ", "123", "4"});
}

TEST_CASE("scanners find what the engine finds") {
  for (const char* expression : {kGpt2Split, kLlama3Split, kQwen2Split}) {
    const auto scanner = SplitScanner::for_expression(expression);
    REQUIRE(scanner);
    const Regex engine(expression, "test");
    for (uint64_t i = 0; i < 3000; ++i) {
      const std::string text = test::random_text(11, i);
      CAPTURE(text);
      std::vector<Span> by_hand, by_engine;
      scanner->split(text, 0, by_hand);
      engine.find_all(text, by_engine);
      REQUIRE(by_hand == by_engine);
    }
  }
  CHECK_FALSE(SplitScanner::for_expression(R"(\s+)"));
}

TEST_CASE("a family's pre_tokenizer is recognised again") {
  for (const char* name : {"gpt-2", "llama-bpe", "qwen2", "bloom", "starcoder", "tekken", "default",
                           "deepseek-v3", "falcon", "gpt-4o", "viking"}) {
    const SplitFamily* family = find_split_family(name);
    REQUIRE(family != nullptr);
    const auto splits = byte_level_splits(family_pre_tokenizer(*family));
    REQUIRE(splits);
    CHECK(find_split_family(*splits, family->ignore_merges) == family);
  }
  CHECK(find_split_family("no-such") == nullptr);
  CHECK_FALSE(byte_level_splits(parse_json(R"({"type": "Whitespace"})", "test")));
  CHECK_FALSE(
      byte_level_splits(parse_json(R"({"type": "ByteLevel", "add_prefix_space": true})", "test")));
}

TEST_CASE("Metaspace, Digits, Punctuation, Whitespace") {
  const std::string mark = "\u2581";
  const std::string first = R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"first"})";
  CHECK(pre_tokenize(first, "a b") == Words{mark + "a", mark + "b"});
  CHECK(pre_tokenize(first, "a b", false) == Words{"a", mark + "b"});
  CHECK(pre_tokenize(first, " a") == Words{mark + "a"});
  CHECK(pre_tokenize(R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"never",
                        "split":false})",
                     "a b") == Words{"a" + mark + "b"});
  CHECK(pre_tokenize(R"({"type":"Digits","individual_digits":true})", "a12") ==
        Words{"a", "1", "2"});
  CHECK(pre_tokenize(R"({"type":"Digits","individual_digits":false})", "a12b") ==
        Words{"a", "12", "b"});
  CHECK(pre_tokenize(R"({"type":"Punctuation"})", "a,\u3002b$") ==
        Words{"a", ",", "\u3002", "b", "$"});
  CHECK(pre_tokenize(R"({"type":"Whitespace"})", " a_b, c\u00BD") ==
        Words{"a_b", ",", "c", "\u00BD"});
  CHECK(pre_tokenize(R"({"type":"WhitespaceSplit"})", " a, b\u3000c") == Words{"a,", "b", "c"});
  CHECK(pre_tokenize(R"({"type":"ByteLevel","add_prefix_space":true})", "a b") ==
        Words{"\u0120a", "\u0120b"});
}

TEST_CASE("expressions from strangers") {
  CHECK_THROWS_WITH_AS(Regex("a(", "m"), doctest::Contains("m: regular expression 'a('"), Error);
  CHECK_THROWS_AS(Regex(std::string(100'000, 'a'), "m"), Error);
  std::vector<Span> out;
  const Regex catastrophe("(a*)*b|(a|aa)+$", "m");
  CHECK_THROWS_WITH_AS(catastrophe.find_all(std::string(300, 'a') + "c", out),
                       doctest::Contains("backtracks"), Error);
  out.clear();
  Regex("x*", "m").find_all("axb", out);  // empty matches do not stop the search
  CHECK(out == std::vector<Span>{{0, 0}, {1, 2}, {3, 3}});
}

}  // namespace hone
