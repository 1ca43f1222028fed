// The tokens of a template with a place among them, for the parsers.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/base/error.h"
#include "libcommon/chat/lexer.h"

namespace hone::chat {

class TokenReader {
 public:
  explicit TokenReader(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& next() const { return tokens_[at_]; }
  const Token& after_next() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  int line() const { return next().line; }

  bool is(Token::Kind kind, std::string_view text = "") const {
    return next().kind == kind && (text.empty() || next().text == text);
  }
  bool skip(Token::Kind kind, std::string_view text = "") {
    if (!is(kind, text)) return false;
    ++at_;
    return true;
  }
  bool skip_sign(std::string_view sign) { return skip(Token::Kind::kOperator, sign); }
  bool skip_word(std::string_view word) { return skip(Token::Kind::kName, word); }

  void expect_sign(std::string_view sign) {
    if (!skip_sign(sign)) fail("expected '" + std::string(sign) + "', found " + found());
  }
  void expect(Token::Kind kind, const std::string& what) {
    if (!skip(kind)) fail("expected " + what + ", found " + found());
  }
  std::string expect_name() {
    if (!is(Token::Kind::kName)) fail("expected a name, found " + found());
    return take().text;
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw Error("line " + std::to_string(line()) + ": " + what);
  }
  std::string found() const {
    switch (next().kind) {
      case Token::Kind::kEnd:
        return "the end";
      case Token::Kind::kText:
        return "text";
      case Token::Kind::kBlockEnd:
        return "'%}'";
      case Token::Kind::kOutputEnd:
        return "'}}'";
      case Token::Kind::kBlockBegin:
        return "'{%'";
      case Token::Kind::kOutputBegin:
        return "'{{'";
      default:
        return "'" + next().text + "'";
    }
  }

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

constexpr int kDeepestNesting = 200;  // of brackets and blocks: each costs stack

// Counts how deep the parser is.
class Nesting {
 public:
  Nesting(int& depth, const TokenReader& reader) : depth_(depth) {
    if (++depth_ > kDeepestNesting) reader.fail("nested too deep");
  }
  ~Nesting() { --depth_; }

 private:
  int& depth_;
};

}  // namespace hone::chat
