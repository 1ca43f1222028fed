#include "libcommon/chat/expression_parser.h"

#include <array>
#include <charconv>

namespace hone::chat {
namespace {

using Kind = Token::Kind;

constexpr int kMostParts = 2000;  // of an expression: a chain of operators is as deep as long

// The grammar of jinja2.parser, loosest binding first.
class ExpressionParser {
 public:
  explicit ExpressionParser(TokenReader& reader) : reader_(reader) {}

  ExpressionPtr parse() {
    const Nesting nesting(depth_, reader_);
    ExpressionPtr value = parse_or();
    while (reader_.is(Kind::kName, "if")) {
      const int line = reader_.take().line;
      ExpressionPtr condition = parse_or();
      ExpressionPtr otherwise = reader_.skip_word("else") ? parse() : nullptr;
      value = make(line, Conditional{std::move(value), std::move(condition), std::move(otherwise)});
    }
    return value;
  }

  // What a for loop runs over: its own `if` is not a conditional expression.
  ExpressionPtr parse_without_condition() { return parse_or(); }

  // a, b: a tuple, which is a list here.
  ExpressionPtr parse_tuple() {
    const int line = reader_.line();
    ExpressionPtr first = parse();
    if (!reader_.is(Kind::kOperator, ",")) return first;
    ListOf list;
    list.items.push_back(std::move(first));
    while (reader_.skip_sign(",") && starts_value()) list.items.push_back(parse());
    return make(line, std::move(list));
  }

  CallArguments parse_arguments() {
    CallArguments arguments;
    reader_.expect_sign("(");
    while (!reader_.skip_sign(")")) {
      if (reader_.is(Kind::kOperator, "*") || reader_.is(Kind::kOperator, "**")) {
        reader_.fail("arguments by * and ** are not implemented");
      }
      const Token& following = reader_.after_next();
      if (reader_.is(Kind::kName) && following.kind == Kind::kOperator && following.text == "=") {
        std::string name = reader_.take().text;
        reader_.take();
        arguments.named.emplace_back(std::move(name), parse());
      } else {
        arguments.positional.push_back(parse());
      }
      if (!reader_.is(Kind::kOperator, ")")) reader_.expect_sign(",");
    }
    return arguments;
  }

 private:
  template <typename Form>
  ExpressionPtr make(int line, Form form) {
    if (++parts_ > kMostParts) reader_.fail("an expression has too many parts");
    return std::make_unique<const Expression>(Expression{line, std::move(form)});
  }

  bool starts_value() const {
    return !reader_.is(Kind::kBlockEnd) && !reader_.is(Kind::kOutputEnd) &&
           !reader_.is(Kind::kOperator, ")") && !reader_.is(Kind::kOperator, "=");
  }

  ExpressionPtr parse_or() {
    ExpressionPtr left = parse_and();
    while (reader_.is(Kind::kName, "or")) {
      left = binary(std::move(left), [&] { return parse_and(); });
    }
    return left;
  }
  ExpressionPtr parse_and() {
    ExpressionPtr left = parse_not();
    while (reader_.is(Kind::kName, "and")) {
      left = binary(std::move(left), [&] { return parse_not(); });
    }
    return left;
  }
  ExpressionPtr parse_not() {
    const Nesting nesting(depth_, reader_);
    if (!reader_.is(Kind::kName, "not")) return parse_comparison();
    const int line = reader_.take().line;
    return make(line, Unary{"not", parse_not()});
  }

  ExpressionPtr parse_comparison() {
    const int line = reader_.line();
    Comparison comparison{parse_sum(), {}};
    for (std::string sign; !(sign = take_comparison()).empty();) {
      comparison.rest.emplace_back(sign, parse_sum());
    }
    if (comparison.rest.empty()) return std::move(comparison.first);
    return make(line, std::move(comparison));
  }

  // "" where there is none.
  std::string take_comparison() {
    constexpr std::array<std::string_view, 6> kSigns = {"==", "!=", "<", "<=", ">", ">="};
    for (const std::string_view sign : kSigns) {
      if (reader_.skip_sign(sign)) return std::string(sign);
    }
    if (reader_.skip_word("in")) return "in";
    const Token& following = reader_.after_next();
    if (reader_.is(Kind::kName, "not") && following.kind == Kind::kName && following.text == "in") {
      reader_.take();
      reader_.take();
      return "not in";
    }
    return "";
  }

  template <typename Operand>
  ExpressionPtr binary(ExpressionPtr left, const Operand& operand) {
    const Token sign = reader_.take();
    ExpressionPtr right = operand();
    return make(sign.line, Binary{sign.text, std::move(left), std::move(right)});
  }

  template <typename Operand>
  ExpressionPtr parse_left(std::initializer_list<std::string_view> signs, const Operand& operand) {
    ExpressionPtr left = operand();
    while (std::ranges::any_of(signs, [&](auto s) { return reader_.is(Kind::kOperator, s); })) {
      left = binary(std::move(left), operand);
    }
    return left;
  }
  ExpressionPtr parse_sum() {
    return parse_left({"+", "-"}, [&] { return parse_joined(); });
  }
  ExpressionPtr parse_joined() {
    return parse_left({"~"}, [&] { return parse_product(); });
  }
  ExpressionPtr parse_product() {
    return parse_left({"*", "/", "//", "%"}, [&] { return parse_power(); });
  }
  ExpressionPtr parse_power() {
    return parse_left({"**"}, [&] { return parse_unary(true); });
  }

  ExpressionPtr parse_unary(bool with_filters) {
    const Nesting nesting(depth_, reader_);
    ExpressionPtr value;
    if (reader_.is(Kind::kOperator, "-") || reader_.is(Kind::kOperator, "+")) {
      const Token sign = reader_.take();
      value = make(sign.line, Unary{sign.text, parse_unary(false)});
    } else {
      value = parse_postfix(parse_primary());
    }
    return with_filters ? parse_filters(std::move(value)) : std::move(value);
  }

  ExpressionPtr parse_primary() {
    const Token token = reader_.next();
    switch (token.kind) {
      case Kind::kName:
        return parse_name();
      case Kind::kString:
        return parse_strings();
      case Kind::kInteger:
      case Kind::kFloat:
        return parse_number();
      default:
        break;
    }
    if (reader_.skip_sign("(")) return parse_parentheses(token.line);
    if (reader_.skip_sign("[")) return parse_list(token.line);
    if (reader_.skip_sign("{")) return parse_dict(token.line);
    reader_.fail("expected a value, found " + reader_.found());
  }

  ExpressionPtr parse_name() {
    const Token token = reader_.take();
    const std::string& name = token.text;
    if (name == "true" || name == "True") return make(token.line, Literal{true});
    if (name == "false" || name == "False") return make(token.line, Literal{false});
    if (name == "none" || name == "None") return make(token.line, Literal{None{}});
    return make(token.line, Name{name});
  }

  ExpressionPtr parse_strings() {
    const int line = reader_.line();
    std::string text;
    while (reader_.is(Kind::kString)) text += reader_.take().text;
    return make(line, Literal{std::move(text)});
  }

  ExpressionPtr parse_number() {
    const Token token = reader_.next();
    const char* end = token.text.data() + token.text.size();
    int64_t integer = 0;
    double real = 0;
    const std::errc fault = token.kind == Kind::kInteger
                                ? std::from_chars(token.text.data(), end, integer).ec
                                : std::from_chars(token.text.data(), end, real).ec;
    if (fault != std::errc()) reader_.fail("number " + token.text + " is too large");
    reader_.take();
    return make(token.line, Literal{token.kind == Kind::kInteger ? Value(integer) : Value(real)});
  }

  ExpressionPtr parse_parentheses(int line) {
    if (reader_.skip_sign(")")) return make(line, ListOf{});
    ExpressionPtr value = parse_tuple();
    reader_.expect_sign(")");
    return value;
  }
  ExpressionPtr parse_list(int line) {
    ListOf list;
    while (!reader_.skip_sign("]")) {
      list.items.push_back(parse());
      if (!reader_.is(Kind::kOperator, "]")) reader_.expect_sign(",");
    }
    return make(line, std::move(list));
  }
  ExpressionPtr parse_dict(int line) {
    DictOf dict;
    while (!reader_.skip_sign("}")) {
      ExpressionPtr key = parse();
      reader_.expect_sign(":");
      dict.items.emplace_back(std::move(key), parse());
      if (!reader_.is(Kind::kOperator, "}")) reader_.expect_sign(",");
    }
    return make(line, std::move(dict));
  }

  ExpressionPtr parse_postfix(ExpressionPtr value) {
    for (;;) {
      const int line = reader_.line();
      if (reader_.skip_sign(".")) {
        value = parse_attribute(line, std::move(value));
      } else if (reader_.skip_sign("[")) {
        value = parse_subscript(line, std::move(value));
      } else if (reader_.is(Kind::kOperator, "(")) {
        value = make(line, Call{std::move(value), parse_arguments()});
      } else {
        return value;
      }
    }
  }

  ExpressionPtr parse_attribute(int line, ExpressionPtr object) {
    if (reader_.is(Kind::kInteger)) {
      return make(line, Subscript{std::move(object), parse_number()});
    }
    return make(line, Attribute{std::move(object), reader_.expect_name()});
  }

  ExpressionPtr parse_subscript(int line, ExpressionPtr object) {
    std::array<ExpressionPtr, 3> parts;
    size_t part = 0;
    while (!reader_.is(Kind::kOperator, "]")) {
      if (reader_.skip_sign(":")) {
        if (++part > 2) reader_.fail("a slice has three parts at most");
      } else if (parts[part] == nullptr) {
        parts[part] = parse_tuple();
      } else {
        break;
      }
    }
    reader_.expect_sign("]");
    if (part > 0) {
      return make(line, Slice{std::move(object), std::move(parts[0]), std::move(parts[1]),
                              std::move(parts[2])});
    }
    if (parts[0] == nullptr) reader_.fail("expected an index, found ']'");
    return make(line, Subscript{std::move(object), std::move(parts[0])});
  }

  ExpressionPtr parse_filters(ExpressionPtr value) {
    for (;;) {
      const int line = reader_.line();
      if (reader_.skip_sign("|")) {
        std::string name = reader_.expect_name();
        value = make(line, Filter{std::move(value), std::move(name), optional_arguments()});
      } else if (reader_.skip_word("is")) {
        value = parse_test(line, std::move(value));
      } else if (reader_.is(Kind::kOperator, "(")) {
        value = make(line, Call{std::move(value), parse_arguments()});
      } else {
        return value;
      }
    }
  }

  CallArguments optional_arguments() {
    return reader_.is(Kind::kOperator, "(") ? parse_arguments() : CallArguments();
  }

  ExpressionPtr parse_test(int line, ExpressionPtr operand) {
    const bool negated = reader_.skip_word("not");
    std::string name = reader_.expect_name();
    CallArguments arguments = optional_arguments();
    if (arguments.positional.empty() && arguments.named.empty() && starts_test_argument()) {
      arguments.positional.push_back(parse_postfix(parse_primary()));
    }
    ExpressionPtr test =
        make(line, Test{std::move(operand), std::move(name), std::move(arguments)});
    return negated ? make(line, Unary{"not", std::move(test)}) : std::move(test);
  }

  // x is divisibleby 3
  bool starts_test_argument() const {
    constexpr std::array<std::string_view, 6> kWords = {"else", "or", "and", "if", "is", "in"};
    if (reader_.is(Kind::kName)) {
      return reader_.next().text != "not" && !std::ranges::count(kWords, reader_.next().text);
    }
    return reader_.is(Kind::kString) || reader_.is(Kind::kInteger) || reader_.is(Kind::kFloat) ||
           reader_.is(Kind::kOperator, "[") || reader_.is(Kind::kOperator, "{");
  }

  TokenReader& reader_;
  int depth_ = 0;
  int parts_ = 0;
};

}  // namespace

ExpressionPtr parse_expression(TokenReader& reader) { return ExpressionParser(reader).parse(); }
ExpressionPtr parse_tuple(TokenReader& reader) { return ExpressionParser(reader).parse_tuple(); }
ExpressionPtr parse_loop_items(TokenReader& reader) {
  return ExpressionParser(reader).parse_without_condition();
}

}  // namespace hone::chat
