#include <algorithm>
#include <utility>

#include "libcommon/chat/expression_parser.h"
#include "libcommon/chat/lexer.h"
#include "libcommon/chat/syntax.h"
#include "libcommon/chat/token_reader.h"

namespace hone::chat {
namespace {

using Kind = Token::Kind;

class TemplateParser {
 public:
  explicit TemplateParser(std::vector<Token> tokens) : reader_(std::move(tokens)) {}

  Block run() { return parse_until({}); }

 private:
  // Statements as far as a tag of one of these names, which stays; no names: as far as the end.
  Block parse_until(const std::vector<std::string_view>& ends) {
    const Nesting nesting(depth_, reader_);
    Block block;
    while (!reader_.is(Kind::kEnd)) {
      const int line = reader_.line();
      if (reader_.is(Kind::kText)) {
        block.push_back({line, Text{reader_.take().text}});
      } else if (reader_.skip(Kind::kOutputBegin)) {
        block.push_back({line, Output{parse_tuple(reader_)}});
        reader_.expect(Kind::kOutputEnd, "'}}'");
      } else if (at_tag_of(ends)) {
        return block;
      } else {
        reader_.expect(Kind::kBlockBegin, "a tag");
        parse_tag(line, block);
      }
    }
    if (!ends.empty()) reader_.fail("{% " + std::string(ends.back()) + " %} is missing");
    return block;
  }

  bool at_tag_of(const std::vector<std::string_view>& words) const {
    return reader_.is(Kind::kBlockBegin) && reader_.after_next().kind == Kind::kName &&
           std::ranges::count(words, reader_.after_next().text) > 0;
  }
  void end_tag() { reader_.expect(Kind::kBlockEnd, "'%}'"); }
  void skip_tag(std::string_view word) {
    reader_.expect(Kind::kBlockBegin, "a tag");
    if (!reader_.skip_word(word)) reader_.fail("expected " + std::string(word));
    end_tag();
  }

  void parse_tag(int line, Block& block) {
    const std::string word = reader_.expect_name();
    if (word == "if") return block.push_back({line, parse_if()});
    if (word == "for") return block.push_back({line, parse_for()});
    if (word == "set") return block.push_back({line, parse_set()});
    if (word == "macro") return block.push_back({line, parse_macro()});
    if (word == "generation") return parse_generation(block);
    if (word == "break" && loops_ > 0) return block.push_back(last(line, Break{}));
    if (word == "continue" && loops_ > 0) return block.push_back(last(line, Continue{}));
    reader_.fail("the tag {% " + word + " %} is not implemented, or out of place");
  }

  template <typename Form>
  Statement last(int line, Form form) {
    end_tag();
    return {line, form};
  }

  // Marks what an assistant says, for training; here its content counts.
  void parse_generation(Block& block) {
    end_tag();
    Block body = parse_until({"endgeneration"});
    skip_tag("endgeneration");
    std::ranges::move(body, std::back_inserter(block));
  }

  If parse_if() {
    If result;
    ExpressionPtr condition = parse_tuple(reader_);
    for (;;) {
      end_tag();
      Block body = parse_until({"elif", "else", "endif"});
      result.branches.emplace_back(std::move(condition), std::move(body));
      reader_.expect(Kind::kBlockBegin, "a tag");
      if (!reader_.skip_word("elif")) break;
      condition = parse_tuple(reader_);
    }
    if (reader_.skip_word("else")) {
      end_tag();
      result.otherwise = parse_until({"endif"});
      reader_.expect(Kind::kBlockBegin, "a tag");
    }
    reader_.skip_word("endif");
    end_tag();
    return result;
  }

  std::vector<std::string> parse_names() {
    const bool bracket = reader_.skip_sign("(");
    std::vector<std::string> names = {reader_.expect_name()};
    while (reader_.skip_sign(",")) names.push_back(reader_.expect_name());
    if (bracket) reader_.expect_sign(")");
    return names;
  }

  For parse_for() {
    For loop;
    loop.names = parse_names();
    if (!reader_.skip_word("in")) reader_.fail("expected 'in', found " + reader_.found());
    loop.items = parse_loop_items(reader_);
    if (reader_.skip_word("if")) loop.condition = parse_expression(reader_);
    if (reader_.is(Kind::kName, "recursive")) reader_.fail("recursive loops are not implemented");
    end_tag();
    ++loops_;
    loop.body = parse_until({"else", "endfor"});
    --loops_;
    reader_.expect(Kind::kBlockBegin, "a tag");
    if (reader_.skip_word("else")) {
      end_tag();
      loop.otherwise = parse_until({"endfor"});
      reader_.expect(Kind::kBlockBegin, "a tag");
    }
    reader_.skip_word("endfor");
    end_tag();
    return loop;
  }

  Set parse_set() {
    Set set;
    set.names = parse_names();
    if (set.names.size() == 1 && reader_.skip_sign(".")) set.attribute = reader_.expect_name();
    if (reader_.skip_sign("=")) {
      set.value = parse_tuple(reader_);
      end_tag();
      return set;
    }
    if (reader_.is(Kind::kOperator, "|")) reader_.fail("filters of {% set %} are not implemented");
    end_tag();
    set.body = parse_until({"endset"});
    skip_tag("endset");
    return set;
  }

  Macro parse_macro() {
    Macro macro;
    macro.name = reader_.expect_name();
    reader_.expect_sign("(");
    while (!reader_.skip_sign(")")) {
      std::string name = reader_.expect_name();
      ExpressionPtr value = reader_.skip_sign("=") ? parse_expression(reader_) : nullptr;
      macro.parameters.emplace_back(std::move(name), std::move(value));
      if (!reader_.is(Kind::kOperator, ")")) reader_.expect_sign(",");
    }
    end_tag();
    const int loops = std::exchange(loops_, 0);
    macro.body = parse_until({"endmacro"});
    loops_ = loops;
    skip_tag("endmacro");
    return macro;
  }

  TokenReader reader_;
  int depth_ = 0;
  int loops_ = 0;  // that a break here can end
};

}  // namespace

Block parse_template(std::string_view source) { return TemplateParser(tokens_of(source)).run(); }

}  // namespace hone::chat
