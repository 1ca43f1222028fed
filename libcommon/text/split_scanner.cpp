// Every alternative of the three expressions begins differently enough to be chosen by the class of
// one or two characters; what backtracking would find is said in the comments.
#include "libcommon/text/split_scanner.h"

#include <oniguruma.h>

#include <array>

#include "libcommon/text/unicode.h"

namespace hone {
namespace {

enum class Class : uint8_t { kLetter, kNumber, kSpace, kNewline, kOther, kEnd };

// The ctype number of the general category with this one-letter name.
int property(char name) {
  std::array<OnigUChar, 1> letters = {static_cast<OnigUChar>(name)};
  OnigEncoding utf8 = ONIG_ENCODING_UTF8;
  return ONIGENC_PROPERTY_NAME_TO_CTYPE(utf8, letters.data(), letters.data() + 1);
}

Class class_of_code(char32_t code) {
  static const auto letter = static_cast<unsigned>(property('L'));
  static const auto number = static_cast<unsigned>(property('N'));
  if (code == '\r' || code == '\n') return Class::kNewline;
  if (ONIGENC_IS_CODE_CTYPE(ONIG_ENCODING_UTF8, code, letter)) return Class::kLetter;
  if (ONIGENC_IS_CODE_CTYPE(ONIG_ENCODING_UTF8, code, number)) return Class::kNumber;
  if (ONIGENC_IS_CODE_SPACE(ONIG_ENCODING_UTF8, code)) return Class::kSpace;
  return Class::kOther;
}

const std::array<Class, 128>& ascii_classes() {
  static const std::array<Class, 128> table = [] {
    std::array<Class, 128> classes{};
    for (size_t code = 0; code < 128; ++code) {
      classes[code] = class_of_code(static_cast<char32_t>(code));
    }
    return classes;
  }();
  return table;
}

class Scan {
 public:
  explicit Scan(std::string_view text) : text_(text), ascii_(ascii_classes()) {}

  size_t gpt2_end(size_t at) const {
    const size_t contraction = gpt2_contraction(at);
    if (contraction != 0) return at + contraction;
    const size_t body = text_[at] == ' ' ? at + 1 : at;  // " ?"
    const Class first = class_at(body);
    if (first == Class::kLetter || first == Class::kNumber || first == Class::kOther) {
      return run_end(body, first);
    }
    return blank_end(at);
  }

  size_t llama_end(size_t at, int digits) const {
    const size_t contraction = any_case_contraction(at);
    if (contraction != 0) return at + contraction;
    const Class first = class_at(at);
    if (first == Class::kLetter) return run_end(at, Class::kLetter);
    if (first == Class::kNumber) return number_end(at, digits);
    if (first != Class::kNewline) {  // one character of any other kind may lead letters
      const size_t next = at + length_at(at);
      if (class_at(next) == Class::kLetter) return run_end(next, Class::kLetter);
    }
    const size_t body = text_[at] == ' ' ? at + 1 : at;
    if (class_at(body) == Class::kOther) {
      return run_end(run_end(body, Class::kOther), Class::kNewline);
    }
    const size_t line = last_newline_end(at);
    return line != 0 ? line : blank_end(at);
  }

 private:
  size_t length_at(size_t at) const { return utf8_char(text_, at).length; }

  Class class_at(size_t at) const {
    if (at >= text_.size()) return Class::kEnd;
    const auto byte = static_cast<unsigned char>(text_[at]);
    return byte < 0x80 ? ascii_[byte] : class_of_code(utf8_char(text_, at).code);
  }

  size_t run_end(size_t at, Class wanted) const {
    for (;;) {
      while (at < text_.size() && static_cast<unsigned char>(text_[at]) < 0x80 &&
             ascii_[static_cast<unsigned char>(text_[at])] == wanted) {
        ++at;
      }
      if (class_at(at) != wanted) return at;
      at += length_at(at);
    }
  }

  size_t number_end(size_t at, int digits) const {
    for (int i = 0; i < digits && class_at(at) == Class::kNumber; ++i) at += length_at(at);
    return at;
  }

  bool blank_at(size_t at) const {
    const Class c = class_at(at);
    return c == Class::kSpace || c == Class::kNewline;
  }

  // \s+(?!\S)|\s+ : a run of blanks, which leaves its last one to the word that follows unless it
  // is the only one.
  size_t blank_end(size_t at) const {
    size_t end = at, last = at;
    while (blank_at(end)) {
      last = end;
      end += length_at(end);
    }
    return end == text_.size() || last == at ? end : last;
  }

  // \s*[\r\n]+ : up to the last newline of a run of blanks; 0 where there is none.
  size_t last_newline_end(size_t at) const {
    size_t found = 0;
    for (; blank_at(at); at += length_at(at)) {
      if (class_at(at) == Class::kNewline) found = at + 1;
    }
    return found;
  }

  size_t gpt2_contraction(size_t at) const {
    if (text_[at] != '\'') return 0;
    const std::string_view rest = text_.substr(at + 1, 2);
    if (rest.empty()) return 0;
    if (rest[0] == 's' || rest[0] == 't' || rest[0] == 'm' || rest[0] == 'd') return 2;
    return rest == "re" || rest == "ve" || rest == "ll" ? 3 : 0;
  }

  // (?i:'s|'t|'re|'ve|'m|'ll|'d): Unicode folds U+017F, the long s, to s.
  size_t any_case_contraction(size_t at) const {
    if (text_[at] != '\'') return 0;
    const std::string_view rest = text_.substr(at + 1, 2);
    if (rest == "\xC5\xBF") return 3;
    std::array<char, 2> lower{};
    for (size_t i = 0; i < rest.size(); ++i) {
      const char c = rest[i];
      lower[i] = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    }
    const char c = lower[0];
    if (c == 's' || c == 't' || c == 'm' || c == 'd') return 2;
    const std::string_view pair(lower.data(), 2);
    return pair == "re" || pair == "ve" || pair == "ll" ? 3 : 0;
  }

  std::string_view text_;
  const std::array<Class, 128>& ascii_;
};

}  // namespace

std::optional<SplitScanner> SplitScanner::for_expression(std::string_view expression) {
  if (expression == kGpt2Split) return SplitScanner(Kind::kGpt2);
  if (expression == kLlama3Split) return SplitScanner(Kind::kLlama3);
  if (expression == kQwen2Split) return SplitScanner(Kind::kQwen2);
  return std::nullopt;
}

void SplitScanner::split(std::string_view piece, size_t base, std::vector<Span>& out) const {
  const Scan scan(piece);
  for (size_t at = 0; at < piece.size();) {
    const size_t end = kind_ == Kind::kGpt2 ? scan.gpt2_end(at)
                                            : scan.llama_end(at, kind_ == Kind::kLlama3 ? 3 : 1);
    out.push_back({base + at, base + end});
    at = end;
  }
}

}  // namespace hone
