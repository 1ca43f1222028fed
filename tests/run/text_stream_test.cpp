// Stop strings across token borders, and the prompts file.
#include "libcommon/run/text_stream.h"

#include <doctest/doctest.h>

#include "libcommon/base/error.h"
#include "libcommon/run/prompts.h"

using namespace hone;

TEST_CASE("a stop string is found however the text is cut, and nothing after it is shown") {
  const std::string text = "The end. ###STOP and more";
  for (size_t cut = 1; cut < text.size(); ++cut) {
    CAPTURE(cut);
    StopFilter filter({"##STOP", "zzz"});
    std::string shown = filter.push(text.substr(0, cut));
    shown += filter.push(text.substr(cut));
    CHECK(filter.stopped());
    CHECK(shown + filter.flush() == "The end. #");
  }
}

TEST_CASE("text that only began like a stop string is shown in the end") {
  StopFilter filter({"stop", ""});
  CHECK(filter.push("do not sto") == "do not ");
  CHECK_FALSE(filter.stopped());
  CHECK(filter.flush() == "sto");
  CHECK(filter.push("re") == "re");
}

TEST_CASE("the earliest of several stop strings wins") {
  StopFilter filter({"b", "ab"});
  CHECK(filter.push("xabc") == "x");
  CHECK(filter.stopped());
  CHECK(filter.push("more").empty());
}

TEST_CASE("prompts: every field, line numbers as ids, empty lines skipped") {
  const auto prompts = parse_prompts(
      "{\"prompt\": \"a\\nb\", \"seed\": 5}\n\n"
      "{\"token_ids\": [1, 2], \"id\": \"x\", \"max_tokens\": 0, \"temperature\": 0.5, \"stop\": "
      "\".\"}",
      "p.jsonl");
  REQUIRE(prompts.size() == 2);
  CHECK(prompts[0].text == "a\nb");
  CHECK(prompts[0].id == 1);
  CHECK(prompts[0].seed == 5u);
  CHECK(prompts[1].token_ids == std::vector<int32_t>{1, 2});
  CHECK(prompts[1].id == "x");
  CHECK(prompts[1].max_tokens == 0);
  CHECK(prompts[1].stop == std::vector<std::string>{"."});
}

TEST_CASE("prompts: each fault names file and line") {
  const char* const bad[] = {"{}",
                             "[]",
                             "{\"prompt\": 3}",
                             "{\"prompt\": \"a\", \"token_ids\": [1]}",
                             "{\"token_ids\": [-1]}",
                             "{\"token_ids\": [3000000000]}",
                             "{\"prompt\": \"a\", \"topk\": 3}",
                             "{\"prompt\": \"a\", \"stop\": [1]}",
                             "{\"prompt\": "};
  for (const char* line : bad) {
    CAPTURE(line);
    CHECK_THROWS_WITH_AS(parse_prompts(std::string("\n") + line, "p.jsonl"),
                         doctest::Contains("p.jsonl: line 2"), Error);
  }
}

TEST_CASE("token ids on the command line") {
  CHECK(parse_token_ids("1,2 3", "--token-ids") == std::vector<int32_t>{1, 2, 3});
  CHECK(parse_token_ids("", "--token-ids").empty());
  for (const char* bad : {"a", "1,-2", "1x", "99999999999", "1,,2", "1,", ",1"}) {
    CHECK_THROWS_AS(parse_token_ids(bad, "--token-ids"), Error);
  }
}
