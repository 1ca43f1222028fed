// Characters: UTF-8 one by one with the standard's replacement rule, and the properties and normal
// forms that tokenizers ask for (tables: Oniguruma's for classes, utf8proc's for normal forms). A
// broken sequence counts as one U+FFFD per "maximal subpart" (Unicode 15, section 3.9, table 3-8),
// the rule of Rust's from_utf8_lossy and of web browsers, so that texts decode as the official
// tokenizers decode them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hone {

constexpr char32_t kReplacementChar = 0xFFFD;
inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct Utf8Char {
  char32_t code;    // kReplacementChar where the bytes are broken
  uint32_t length;  // bytes used: 1-4; for broken bytes the maximal subpart
  bool valid;
  bool truncated;  // broken only because the text ends here: more bytes could complete it
};

Utf8Char utf8_char_beyond_ascii(std::string_view text, size_t at);

// The character at text[at]; at < text.size(). Inline for ASCII: everything here is made of it.
inline Utf8Char utf8_char(std::string_view text, size_t at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 0x80) return {byte, 1, true, false};
  return utf8_char_beyond_ascii(text, at);
}

void append_utf8(std::string& out, char32_t code);

// A copy with U+FFFD in place of broken sequences.
std::string lossy_utf8(std::string_view text);

bool is_space(char32_t code);  // White_Space
bool is_word(char32_t code);   // \w of Rust's regex: Alphabetic, M, Nd, Pc, Join_Control
bool is_mark(char32_t code);   // general category M

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };
// text must be valid UTF-8.
std::string normal_form(std::string_view text, NormalForm form);

// Full lower case of each character by itself (no final sigma).
std::string lower_case(std::string_view text);
// Upper case of each character by itself, where it is one character (not of the German sharp s).
std::string upper_case(std::string_view text);

}  // namespace hone
