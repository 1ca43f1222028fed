#include <doctest/doctest.h>

#include <fstream>
#include <sstream>

#include "libcommon/base/error.h"
#include "libcommon/chat/chat_template.h"
#include "libcommon/chat/interpreter.h"

using namespace hone;

namespace {

std::string file(const std::string& name) {
  std::ifstream in(std::string(HONE_TESTDATA) + "/chat/" + name);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string render(const std::string& source, const Json& variables) {
  chat::Dict names;
  for (const auto& [name, value] : variables.items()) names.set(name, chat::from_json(value));
  return chat::run_template(chat::parse_template(source), names);
}

std::string fault(const std::string& source, const Json& variables = Json::object()) {
  try {
    return "no error, but: " + render(source, variables);
  } catch (const Error& error) {
    return error.what();
  }
}

std::string repeated(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

const Json kHi = Json::parse(R"([{"role": "user", "content": "Hi"}])");

}  // namespace

TEST_CASE("every template gives the text that transformers gives, or is refused as there") {
  const Json variables = parse_json(file("variables.json"), "variables.json");
  std::istringstream cases(file("cases.jsonl"));
  int count = 0;
  for (std::string line; std::getline(cases, line); ++count) {
    const Json one = parse_json(line, "cases.jsonl");
    const auto source = one["template"].get<std::string>();
    CAPTURE(source);
    if (one.contains("refused")) {
      CHECK_THROWS_AS(render(source, variables), Error);
    } else {
      CHECK(render(source, variables) == one["text"].get<std::string>());
    }
  }
  CHECK(count > 100);
}

TEST_CASE("an error names the line and what is wrong there") {
  CHECK(fault("a\n{{ x.y }}") == "line 2: 'x' is undefined");
  CHECK(fault("\n\n{% if a %}\n") == "line 3: {% endif %} is missing");
  CHECK(fault("{{ 'a'|frobnicate }}") == "line 1: the filter 'frobnicate' is not implemented");
  CHECK(fault("{% include 'x' %}") ==
        "line 1: the tag {% include %} is not implemented, or out of place");
  CHECK(fault("{{ f() }}") == "line 1: 'f', which is undefined, cannot be called");
  CHECK(fault("{{ 1 + 'a' }}") == "line 1: '+' does not join a number and a string");
  CHECK(fault("{{ raise_exception('roles must alternate') }}") == "line 1: roles must alternate");
}

TEST_CASE("a hostile template ends with an error, soon and in bounded memory") {
  CHECK(fault("{% for i in range(9999999999) %}x{% endfor %}") ==
        "line 1: a list becomes too long");
  CHECK(fault("{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}") ==
        "line 1: the template does not come to an end");
  CHECK(fault("{% for i in range(999999) %}{% set x = range(999999) %}{% endfor %}") ==
        "line 1: the template makes too much");
  CHECK(fault("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}") ==
        "line 1: macros call each other too deep");
  CHECK(fault("{{ 'ab' * 99999999999 }}") == "line 1: '*' makes too much");
  CHECK(fault("{% set n = namespace(s='ab') %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}"
              "{% endfor %}") == "line 1: the template makes too much");
  CHECK(fault("{% for i in range(99) %}{{ 'ab' * 999999 }}{% endfor %}") ==
        "line 1: the text becomes too long");
  CHECK(fault("{% set n = namespace(l=[1, 2]) %}{% for i in range(99) %}{% set n.l = n.l + n.l %}"
              "{% endfor %}") == "line 1: a list becomes too long");
  CHECK(fault("{% set n = namespace() %}{% set n.n = n %}{{ n }}") ==
        "line 1: values are nested too deep");
  CHECK(fault("{{ " + repeated("(", 1000) + "1" + repeated(")", 1000) + " }}") ==
        "line 1: nested too deep");
  CHECK(fault(repeated("{% if 1 %}", 1000)) == "line 1: nested too deep");
  // Lists that share lists, lists within lists within lists, and long chains of operators.
  const std::string doubled =
      "{% for i in range(60) %}{% set n.l = [n.l, n.l] %}{% set n.m = [n.m, n.m] %}{% endfor %}";
  const std::string large = "{% set n = namespace(l=['x' * 999999]) %}" + doubled;
  CHECK(fault(large + "{{ n.l }}") == "line 1: the text becomes too long");
  CHECK(fault(large + "{{ n.l|tojson }}") == "line 1: the text becomes too long");
  CHECK(fault("{% set n = namespace(l=[1], m=[1]) %}" + doubled + "{{ n.l == n.m }}") ==
        "line 1: lists are too long to compare");
  CHECK(fault("{% set n = namespace(l=[]) %}{% for i in range(30000) %}{% set n.l = [n.l] %}"
              "{% endfor %}{{ n.l }}") == "line 1: values are nested too deep");
  CHECK(fault("{{ range(9999)|unique|list }}") == "line 1: a list is too long for this filter");
  CHECK(fault("{{ ([[1, 2]] * 99999)|sum(start=[]) }}") ==
        "line 1: a list is too long for this filter");
  CHECK(fault("{{ 1" + repeated(" + 1", 100000) + " }}") ==
        "line 1: an expression has too many parts");
  CHECK(fault("{{ s" + repeated("|trim", 100000) + " }}") ==
        "line 1: an expression has too many parts");
  CHECK(fault("{{ 9223372036854775807 + 1 }}") == "line 1: '+' makes too large a number");
  CHECK(fault("{{ (-9223372036854775807 - 1) // -1 }}") == "line 1: '/' makes too large a number");
  CHECK(fault("{{ 99999999999999999999 }}") == "line 1: number 99999999999999999999 is too large");
}

TEST_CASE("cut anywhere, a template renders or is refused") {
  const Json variables = parse_json(file("variables.json"), "variables.json");
  std::istringstream cases(file("cases.jsonl"));
  for (std::string line; std::getline(cases, line);) {
    const auto source = parse_json(line, "cases.jsonl")["template"].get<std::string>();
    for (size_t end = 0; end < source.size(); ++end) {
      CHECK_NOTHROW(fault(source.substr(0, end), variables));
    }
  }
}

TEST_CASE("a model's template is found where transformers looks, and knows the model's tokens") {
  const std::string config = R"({"bos_token": "<s>", "eos_token": {"content": "</s>"},
      "chat_template": "config {{ bos_token }}{{ messages[0].content }}{{ eos_token }}"})";
  const auto prompt = [](const std::map<std::string, std::string>& files) {
    return ChatTemplate::from_files(files, "model")->prompt(kHi, Json::object());
  };
  CHECK(prompt({{"tokenizer_config.json", config}}) == "config <s>Hi</s>");
  CHECK(prompt({{"tokenizer_config.json", config},
                {"chat_template.jinja", "file {{ bos_token }}"}}) == "file <s>");
  CHECK(prompt({{"tokenizer_config.json",
                 R"({"chat_template": [{"name": "tool_use", "template": "tools"},
                                       {"name": "default", "template": "plain"}]})"}}) == "plain");
  CHECK(prompt({{"chat_template.json", R"({"chat_template": "old"})"},
                {"special_tokens_map.json", R"({"bos_token": "<b>"})"}}) == "old");
  CHECK_FALSE(ChatTemplate::from_files({{"tokenizer_config.json", "{}"}}, "model").has_value());
  CHECK(ChatTemplate::with_tokens_of({{"tokenizer_config.json", config}}, "{{ eos_token }}", "own")
            .prompt(kHi, Json::object()) == "</s>");
}

TEST_CASE("a template may ask for more, and says which template refused") {
  const ChatTemplate chat("{% if think %}t{% else %}{{ raise_exception('no') }}{% endif %}",
                          Json::object(), "model: chat template");
  CHECK(chat.prompt(kHi, {{"think", true}}) == "t");
  CHECK_THROWS_WITH_AS(chat.prompt(kHi, {{"think", false}}), "model: chat template: line 1: no",
                       Error);
  CHECK_THROWS_WITH_AS(ChatTemplate("{{", Json::object(), "model: chat template"),
                       "model: chat template: line 1: a tag {{ is not closed", Error);
}

TEST_CASE("messages are a list of objects with a role") {
  CHECK_NOTHROW(check_messages(kHi, "f"));
  CHECK_THROWS_AS(check_messages(Json::array(), "f"), Error);
  CHECK_THROWS_AS(check_messages(Json::object(), "f"), Error);
  CHECK_THROWS_WITH_AS(check_messages(Json::parse(R"([{"content": "x"}])"), "f"),
                       R"(f: a message has no role: {"content":"x"})", Error);
}
