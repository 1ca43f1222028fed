// A Jinja template, parsed: expressions and statements as trees.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "libcommon/chat/value.h"

namespace hone::chat {

struct Expression;
using ExpressionPtr = std::unique_ptr<const Expression>;  // null where it is left out

struct CallArguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
};

struct Literal {
  Value value;
};
struct Name {
  std::string name;
};
// [a, b], and the tuple (a, b).
struct ListOf {
  std::vector<ExpressionPtr> items;
};
struct DictOf {
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> items;
};
// - + not
struct Unary {
  std::string sign;
  ExpressionPtr operand;
};
// and or + - * / // % ** ~
struct Binary {
  std::string sign;
  ExpressionPtr left, right;
};
// a < b < c; signs: == != < <= > >= in, not in
struct Comparison {
  ExpressionPtr first;
  std::vector<std::pair<std::string, ExpressionPtr>> rest;
};
// a if b else c
struct Conditional {
  ExpressionPtr then, condition, otherwise;
};
// a.b
struct Attribute {
  ExpressionPtr object;
  std::string name;
};
// a[b]
struct Subscript {
  ExpressionPtr object, index;
};
// a[b:c:d]
struct Slice {
  ExpressionPtr object, begin, end, step;
};
struct Call {
  ExpressionPtr callee;
  CallArguments arguments;
};
// a | b(c)
struct Filter {
  ExpressionPtr operand;
  std::string name;
  CallArguments arguments;
};
// a is b(c)
struct Test {
  ExpressionPtr operand;
  std::string name;
  CallArguments arguments;
};

struct Expression {
  int line;
  std::variant<Literal, Name, ListOf, DictOf, Unary, Binary, Comparison, Conditional, Attribute,
               Subscript, Slice, Call, Filter, Test>
      form;
};

struct Statement;
using Block = std::vector<Statement>;

struct Text {
  std::string text;
};
struct Output {
  ExpressionPtr value;
};
// {% set NAME[, NAME] = VALUE %}, {% set NAME.ATTRIBUTE = VALUE %}, or
// {% set NAME %} BODY {% endset %}
struct Set {
  std::vector<std::string> names;
  std::string attribute;
  ExpressionPtr value;
  Block body;
};
struct If {
  std::vector<std::pair<ExpressionPtr, Block>> branches;
  Block otherwise;
};
struct For {
  std::vector<std::string> names;
  ExpressionPtr items, condition;
  Block body, otherwise;
};
struct Macro {
  std::string name;
  std::vector<std::pair<std::string, ExpressionPtr>> parameters;  // with what they are by default
  Block body;
};
struct Break {};
struct Continue {};

struct Statement {
  int line;
  std::variant<Text, Output, Set, If, For, Macro, Break, Continue> form;
};

// Throws Error("line N: ...") for what is no template, and for tags that are not implemented.
Block parse_template(std::string_view source);

}  // namespace hone::chat
