#include "libcommon/chat/lexer.h"

#include <algorithm>
#include <array>
#include <optional>

#include "libcommon/base/error.h"
#include "libcommon/text/unicode.h"

namespace hone::chat {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}
bool is_blank(char c) { return c == ' ' || c == '\t'; }
bool is_white(char c) { return is_blank(c) || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }

// Lines end in \n, and the last end goes.
std::string normalized(std::string_view source) {
  std::string out;
  for (size_t i = 0; i < source.size(); ++i) {
    const bool pair = source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n';
    if (!pair) out += source[i] == '\r' ? '\n' : source[i];
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(const std::string& source) : source_(source) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const size_t tag = find_tag();
      add_text(tag);
      if (at_ < source_.size()) read_tag();
    }
    add(Token::Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error("line " + std::to_string(line_) + ": " + what);
  }
  void add(Token::Kind kind, std::string text) {
    tokens_.push_back({kind, std::move(text), line_});
  }
  bool ahead(std::string_view text) const { return source_.compare(at_, text.size(), text) == 0; }
  void advance(size_t count) {
    const auto begin = source_.begin() + static_cast<ptrdiff_t>(at_);
    line_ += static_cast<int>(std::count(begin, begin + static_cast<ptrdiff_t>(count), '\n'));
    at_ += count;
  }

  // Of the next {{, {% or {#.
  size_t find_tag() const {
    for (size_t at = at_; at + 1 < source_.size(); ++at) {
      const char next = source_[at + 1];
      if (source_[at] == '{' && (next == '{' || next == '%' || next == '#')) return at;
    }
    return source_.size();
  }

  // Text as far as `tag`, without what the tags around it take away.
  void add_text(size_t tag) {
    size_t begin = at_, end = tag;
    if (strip_after_) {
      while (begin < end && is_white(source_[begin])) ++begin;
    } else if (trim_line_ && begin < end && source_[begin] == '\n') {
      ++begin;
    }
    if (tag + 2 < source_.size()) {
      const char sign = source_[tag + 2];
      if (sign == '-') {
        while (end > begin && is_white(source_[end - 1])) --end;
      } else if (sign != '+' && source_[tag + 1] != '{') {
        end = without_indent(begin, end);
      }
    }
    if (end > begin) add(Token::Kind::kText, source_.substr(begin, end - begin));
    advance(tag - at_);
  }

  // Where the blanks begin that end at `end`, if a line begins with them.
  size_t without_indent(size_t begin, size_t end) const {
    size_t start = end;
    while (start > begin && is_blank(source_[start - 1])) --start;
    return start == 0 || source_[start - 1] == '\n' ? start : end;
  }

  void read_tag() {
    const char type = source_[at_ + 1];
    if (type == '#') return skip_comment();
    const int opened = line_;
    advance(2);
    if (ahead("-") || ahead("+")) advance(1);
    if (type == '%' && read_raw()) return;
    add(type == '%' ? Token::Kind::kBlockBegin : Token::Kind::kOutputBegin, "");
    const std::string close = type == '%' ? "%}" : "}}";
    while (!at_close(close)) {
      if (at_ >= source_.size()) {
        line_ = opened;
        fail(std::string("a tag {") + type + " is not closed");
      }
      read_token();
    }
    add(type == '%' ? Token::Kind::kBlockEnd : Token::Kind::kOutputEnd, "");
    end_tag(close, type == '%');
  }

  // Brackets inside a tag may end in what looks like its end: {{ {"a": {}} }}.
  bool at_close(const std::string& close) {
    while (at_ < source_.size() && is_white(source_[at_])) advance(1);
    const size_t sign = ahead("-") || ahead("+") ? 1 : 0;
    return depth_ == 0 && source_.compare(at_ + sign, close.size(), close) == 0;
  }

  void end_tag(const std::string& close, bool block) {
    const bool kept = ahead("+");
    strip_after_ = ahead("-");
    if (strip_after_ || kept) advance(1);
    advance(close.size());
    trim_line_ = block && !kept;
  }

  void skip_comment() {
    const size_t end = source_.find("#}", at_ + 2);
    if (end == std::string::npos) fail("a comment {# is not closed");
    const char sign = source_[end - 1];
    const bool signed_end = end > at_ + 2 && (sign == '-' || sign == '+');
    advance(end - (signed_end ? 1 : 0) - at_);
    end_tag("#}", true);
  }

  // {% raw %} ... {% endraw %}: text as it is.
  bool read_raw() {
    const std::optional<size_t> begin = word_tag(at_, "raw");
    if (!begin) return false;
    for (size_t at = *begin; (at = source_.find("{%", at)) != std::string::npos; at += 2) {
      const size_t sign = source_.compare(at + 2, 1, "-") == 0 ? 1 : 0;
      const std::optional<size_t> end = word_tag(at + 2 + sign, "endraw");
      if (!end) continue;
      advance(*begin - at_);
      strip_after_ = source_[*begin - 3] == '-';
      trim_line_ = false;
      add_text(at);
      advance(*end - at_);
      strip_after_ = source_[*end - 3] == '-';
      trim_line_ = true;
      return true;
    }
    fail("{% raw %} without {% endraw %}");
  }

  // The place behind "WORD %}" at `at`.
  std::optional<size_t> word_tag(size_t at, std::string_view word) const {
    const auto skip = [&] {
      while (at < source_.size() && is_white(source_[at])) ++at;
    };
    skip();
    if (source_.compare(at, word.size(), word) != 0) return std::nullopt;
    at += word.size();
    skip();
    if (at < source_.size() && source_[at] == '-') ++at;
    if (source_.compare(at, 2, "%}") != 0) return std::nullopt;
    return at + 2;
  }

  void read_token() {
    const char c = source_[at_];
    if (c == '\'' || c == '"') return read_string(c);
    if (is_digit(c)) return read_number();
    if (is_name(c)) return read_run(Token::Kind::kName, [](char next) { return is_name(next); });
    read_operator();
  }

  template <typename Belongs>
  void read_run(Token::Kind kind, const Belongs& belongs) {
    size_t end = at_;
    while (end < source_.size() && belongs(source_[end])) ++end;
    add(kind, source_.substr(at_, end - at_));
    advance(end - at_);
  }

  // 12, 1_000, 1.5, 2e3, 2.5e-3.
  void read_number() {
    size_t end = skip_digits(at_);
    const size_t whole = end;
    if (digit_at(end + 1) && source_[end] == '.') end = skip_digits(end + 1);
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      const bool sign =
          source_.compare(end + 1, 1, "-") == 0 || source_.compare(end + 1, 1, "+") == 0;
      if (digit_at(end + 1 + sign)) end = skip_digits(end + 1 + sign);
    }
    std::string text = source_.substr(at_, end - at_);
    std::erase(text, '_');
    add(end > whole ? Token::Kind::kFloat : Token::Kind::kInteger, std::move(text));
    advance(end - at_);
  }
  bool digit_at(size_t at) const { return at < source_.size() && is_digit(source_[at]); }
  size_t skip_digits(size_t at) const {
    while (at < source_.size() && (is_digit(source_[at]) || source_[at] == '_')) ++at;
    return at;
  }

  void read_string(char quote) {
    std::string text;
    size_t at = at_ + 1;
    for (; at < source_.size() && source_[at] != quote; ++at) {
      if (source_[at] == '\\' && at + 1 < source_.size()) {
        at = read_escape(text, at + 1);
      } else {
        text += source_[at];
      }
    }
    if (at >= source_.size()) fail("a string is not closed");
    add(Token::Kind::kString, std::move(text));
    advance(at + 1 - at_);
  }

  // As in Python; returns the last character that belongs to it.
  size_t read_escape(std::string& text, size_t at) const {
    constexpr std::string_view kNames = "nrtabfv0\\'\"", kMeanings("\n\r\t\a\b\f\v\0\\'\"", 11);
    const char c = source_[at];
    if (c == '\n') return at;
    if (const size_t known = kNames.find(c); known != std::string_view::npos) {
      text += kMeanings[known];
      return at;
    }
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0) {
      text += '\\';
      text += c;
      return at;
    }
    const std::string code = source_.substr(at + 1, digits);
    if (code.size() < digits ||
        code.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) {
      fail(std::string("\\") + c + " needs " + std::to_string(digits) + " hexadecimal digits");
    }
    append_utf8(text, static_cast<char32_t>(std::stoul(code, nullptr, 16)));
    return at + digits;
  }

  void read_operator() {
    constexpr std::array<std::string_view, 27> kOperators = {
        "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">",
        "=",  "(",  ")",  "[",  "]",  "{",  "}", ",", ":", ".", "|", ";", "!"};
    for (const std::string_view sign : kOperators) {
      if (!ahead(sign)) continue;
      if (sign == "(" || sign == "[" || sign == "{") ++depth_;
      if ((sign == ")" || sign == "]" || sign == "}") && depth_ > 0) --depth_;
      add(Token::Kind::kOperator, std::string(sign));
      return advance(sign.size());
    }
    fail("'" + std::string(1, source_[at_]) + "' means nothing here");
  }

  const std::string& source_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int line_ = 1;
  int depth_ = 0;             // of brackets open in this tag
  bool strip_after_ = false;  // the tag before ended in -%}
  bool trim_line_ = false;    // it was a block
};

}  // namespace

std::vector<Token> tokens_of(std::string_view source) {
  const std::string text = normalized(source);
  return Lexer(text).run();
}

}  // namespace hone::chat
