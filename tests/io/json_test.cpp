#include "libcommon/io/json.h"

#include <vector>

#include "tests/io/io_support.h"

using namespace hone;
using namespace hone::test;

TEST_CASE("JSON is read as it was written") {
  const Json value =
      parse_json(R"( {"b": [1, -2, 2.5, true, null], "a": {"x": "é\n\u20ac"}} )", "x");
  CHECK(value.dump() == "{\"b\":[1,-2,2.5,true,null],\"a\":{\"x\":\"é\\n\xe2\x82\xac\"}}");
  CHECK(parse_json("7", "x") == 7);
  CHECK(parse_json("[[],{},[{}]]", "x").dump() == "[[],{},[{}]]");
}

TEST_CASE("numbers at the ends of their ranges") {
  CHECK(parse_json("9223372036854775807", "x").get<int64_t>() == INT64_MAX);
  CHECK(parse_json("-9223372036854775808", "x").get<int64_t>() == INT64_MIN);
  CHECK(parse_json("18446744073709551615", "x").get<uint64_t>() == UINT64_MAX);
  // transformers writes int(1e30) for a tokenizer without a limit.
  CHECK(parse_json("1000000000000000019884624838656", "x").get<double>() == 1e30);
  check_error([] { parse_json("1e999", "x"); }, ExitCode::kBadInput, "number out of range");
}

TEST_CASE("what is refused") {
  struct Case {
    std::string text;
    const char* message;
  };
  const std::vector<Case> cases = {
      {R"({"a":1,"a":2})", "not valid JSON: duplicate key 'a'"},
      {R"({"a":{"b":1,"c":2,"b":3}})", "duplicate key 'b'"},
      {R"({"a":1,"\u0061":2})", "duplicate key 'a'"},
      {"", "at byte 1"},
      {"{", "syntax error"},
      {R"({"a":1,})", "at byte 8"},
      {"[1 2]", "at byte 4"},
      {"{} x", "at byte 4"},
      {"nul", "invalid literal"},
      {"[NaN]", "invalid literal"},
      {"[Infinity]", "invalid literal"},
      {"[01]", "syntax error"},
      {"'a'", "syntax error"},
      {"/* */ {}", "syntax error"},
      {"\"\xc3(\"", "ill-formed UTF-8"},
      {"\"\xed\xa0\x80\"", "ill-formed UTF-8"},
      {R"("\ud800")", "surrogate"},
      {"\"a\nb\"", "control character"},
      {std::string("{}\0{}", 5), "NUL at byte 2"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    check_error([&] { parse_json(c.text, "config.json"); }, ExitCode::kBadInput, c.message);
    check_error([&] { parse_json(c.text, "config.json"); }, ExitCode::kBadInput,
                "config.json: not valid JSON: ");
  }
}

TEST_CASE("depth and size are bounded") {
  const auto nested = [](int depth) {
    return std::string(static_cast<size_t>(depth), '[') +
           std::string(static_cast<size_t>(depth), ']');
  };
  CHECK_NOTHROW(parse_json(nested(64), "x"));
  check_error([&] { parse_json(nested(65), "x"); }, ExitCode::kBadInput, "deeper than 64");
  check_error([&] { parse_json(std::string(1'000'000, '['), "x"); }, ExitCode::kBadInput,
              "deeper than 64");
  check_error([] { parse_json("[1,2]", "x", {.bytes = 4}); }, ExitCode::kBadInput,
              "JSON of 5 bytes, at most 4");
}

TEST_CASE("an object of a tokenizer's size is read in linear time") {
  std::string text = "{";
  for (int i = 0; i < 200'000; ++i) text += "\"token" + std::to_string(i) + "\":1,";
  text.back() = '}';
  CHECK(parse_json(text, "x").size() == 200'000);
}

TEST_CASE("typed access says what is wrong") {
  const Json config = parse_json(
      R"({"n": 4, "zero": 0, "minus": -3, "text": "4", "half": 0.5, "big": 18446744073709551615})",
      "x");
  CHECK(require_positive(config, "n", "config.json") == 4);
  CHECK(require_string(config, "text", "config.json") == "4");
  const auto refused = [&](const char* key, const char* message) {
    check_error([&] { require_positive(config, key, "config.json"); }, ExitCode::kBadInput,
                message);
  };
  refused("none", "config.json: 'none' is missing");
  refused("minus", "config.json: 'minus' is -3, must be a positive integer");
  refused("zero", "'zero' is 0, must be");
  refused("text", "'text' is \"4\", must be");
  refused("half", "'half' is 0.5, must be");
  refused("big", "'big' is 18446744073709551615, must be");
  check_error([&] { require_string(config, "n", "config.json"); }, ExitCode::kBadInput,
              "config.json: 'n' is 4, must be a string");
  check_error([&] { require_string(Json(3), "n", "config.json"); }, ExitCode::kBadInput,
              "config.json: not a JSON object");
}
