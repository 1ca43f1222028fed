// Characters, repair of broken UTF-8, the byte alphabet, normal forms.
#include "libcommon/text/unicode.h"

#include <doctest/doctest.h>

#include "libcommon/base/utf8.h"
#include "libcommon/text/byte_chars.h"

namespace hone {

TEST_CASE("every code point is written and read back") {
  for (char32_t code = 0; code < 0x110000; code += code < 0x3000 ? 1 : 251) {
    if (code >= 0xD800 && code <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, code);
    const Utf8Char read = utf8_char(text, 0);
    CHECK(read.code == code);
    CHECK(read.length == text.size());
    CHECK(read.valid);
  }
}

TEST_CASE("broken UTF-8: one U+FFFD per maximal subpart") {
  const std::string bad = "\xEF\xBF\xBD";
  CHECK(lossy_utf8("a\xC0\xAF"
                   "b") == "a" + bad + bad + "b");                 // overlong
  CHECK(lossy_utf8("\xED\xA0\x80") == bad + bad + bad);            // a surrogate
  CHECK(lossy_utf8("\xF4\x90\x80\x80") == bad + bad + bad + bad);  // above U+10FFFF
  CHECK(lossy_utf8("\xE2\x82x") == bad + "x");                     // cut short: one
  CHECK(lossy_utf8("\xF0\x9F\x98") == bad);                        // at the end: one
  CHECK(lossy_utf8("\xE2\x82\xAC") == "\u20AC");
  CHECK(utf8_char("\xF0\x9F", 0).truncated);
  CHECK_FALSE(utf8_char("\xF0\x20", 0).truncated);
}

TEST_CASE("the byte alphabet of GPT-2") {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  std::string chars;
  append_byte_chars(chars, all);
  CHECK(is_utf8(chars));
  CHECK(bytes_of_chars(chars) == all);
  std::string blanks;
  append_byte_chars(blanks, " \n\x7F\xAD");
  CHECK(blanks == "\u0120\u010A\u0121\u0143");
  CHECK(bytes_of_chars("\u0144") == std::nullopt);
  CHECK(bytes_of_chars("a b") == std::nullopt);  // a space is written otherwise
}

TEST_CASE("normal forms, lower case and classes") {
  CHECK(normal_form("e\u0301", NormalForm::kNfc) == "\u00E9");
  CHECK(normal_form("\u00E9", NormalForm::kNfd) == "e\u0301");
  CHECK(normal_form("\uFB01\u00B2", NormalForm::kNfkc) == "fi2");
  CHECK(normal_form("\uFB01\u00E9", NormalForm::kNfkd) == "fie\u0301");
  CHECK(normal_form(std::string("a\0b", 3), NormalForm::kNfc) == std::string("a\0b", 3));
  CHECK(lower_case("\u00C4\u0130\u03A3!") == "\u00E4i\u0307\u03C3!");
  CHECK(is_space(0x3000));
  CHECK(is_space(0x85));
  CHECK_FALSE(is_space(0x200B));
  CHECK(is_word('_'));
  CHECK(is_word(0x200D));
  CHECK_FALSE(is_word(0xBD));  // one half is a number, not a word character
}

}  // namespace hone
