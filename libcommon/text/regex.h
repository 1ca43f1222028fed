// Regular expressions of tokenizer.json: Oniguruma, the engine of the `tokenizers` library, so that
// expressions run unchanged. A tokenizer.json comes from strangers: backtracking steps and stack
// are limited, and exceeding them is an Error, not a hang.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct re_pattern_buffer;  // OnigRegexType of oniguruma.h

namespace hone {

// Bytes [begin, end) of a text.
struct Span {
  size_t begin, end;
  bool operator==(const Span&) const = default;
};

class Regex {
 public:
  // Throws Error("SUBJECT: regular expression '...': Oniguruma's words").
  Regex(std::string_view pattern, const std::string& subject);
  ~Regex();
  Regex(Regex&&) noexcept;

  const std::string& pattern() const { return pattern_; }

  // All matches of text from left to right; an empty match right behind a match is passed over.
  // Appends to `out`. Thread-safe. text must be valid UTF-8.
  void find_all(std::string_view text, std::vector<Span>& out) const;

 private:
  std::string pattern_, subject_;
  re_pattern_buffer* regex_ = nullptr;
};

// A pattern field: {"String": "..."} or {"Regex": "..."}.
class Pattern {
 public:
  static Pattern literal(std::string text) { return Pattern(std::move(text), nullptr); }
  static Pattern regex(std::string_view expression, const std::string& subject) {
    return Pattern("", std::make_shared<const Regex>(expression, subject));
  }

  bool is_regex() const { return regex_ != nullptr; }
  const std::string& text() const { return regex_ ? regex_->pattern() : literal_; }
  void find_all(std::string_view text, std::vector<Span>& out) const;

 private:
  Pattern(std::string literal, std::shared_ptr<const Regex> regex)
      : literal_(std::move(literal)), regex_(std::move(regex)) {}
  std::string literal_;
  std::shared_ptr<const Regex> regex_;
};

}  // namespace hone
