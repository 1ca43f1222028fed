// UTF-8 characters, their properties and normal forms; the rules are told in unicode.h.
#include "libcommon/text/unicode.h"

#include <oniguruma.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <new>

#include "libcommon/base/error.h"

namespace hone {
namespace {

// What a lead byte asks for: how many bytes follow, and the range of the first of them (it excludes
// overlong forms, surrogates and codes above U+10FFFF).
struct Lead {
  uint32_t following;
  unsigned char low, high;
};

Lead lead_of(unsigned char byte) {
  if (byte >= 0xC2 && byte <= 0xDF) return {1, 0x80, 0xBF};
  if (byte == 0xE0) return {2, 0xA0, 0xBF};
  if (byte == 0xED) return {2, 0x80, 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF) return {2, 0x80, 0xBF};
  if (byte == 0xF0) return {3, 0x90, 0xBF};
  if (byte >= 0xF1 && byte <= 0xF3) return {3, 0x80, 0xBF};
  if (byte == 0xF4) return {3, 0x80, 0x8F};
  return {0, 0, 0};
}

// Oniguruma's number of a Unicode property.
unsigned property(std::string name) {
  auto* const begin = reinterpret_cast<OnigUChar*>(name.data());
  OnigEncoding utf8 = ONIG_ENCODING_UTF8;
  return static_cast<unsigned>(ONIGENC_PROPERTY_NAME_TO_CTYPE(utf8, begin, begin + name.size()));
}

}  // namespace

Utf8Char utf8_char_beyond_ascii(std::string_view text, size_t at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  const Lead lead = lead_of(byte);
  if (lead.following == 0) return {kReplacementChar, 1, false, false};
  char32_t code = byte & (0x3Fu >> lead.following);
  for (uint32_t i = 1; i <= lead.following; ++i) {
    if (at + i >= text.size()) return {kReplacementChar, i, false, true};
    const auto next = static_cast<unsigned char>(text[at + i]);
    const unsigned char low = i == 1 ? lead.low : 0x80, high = i == 1 ? lead.high : 0xBF;
    if (next < low || next > high) return {kReplacementChar, i, false, false};
    code = code << 6 | (next & 0x3Fu);
  }
  return {code, lead.following + 1, true, false};
}

void append_utf8(std::string& out, char32_t code) {
  const auto put = [&out](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

std::string lossy_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Char next = utf8_char(text, at);
    out.append(next.valid ? text.substr(at, next.length) : kReplacement);
    at += next.length;
  }
  return out;
}

bool is_space(char32_t code) { return ONIGENC_IS_CODE_SPACE(ONIG_ENCODING_UTF8, code); }

bool is_word(char32_t code) {
  static const std::array<unsigned, 4> classes = {property("Alphabetic"), property("M"),
                                                  property("Nd"), property("Pc")};
  const auto in = [code](unsigned ctype) {
    return ONIGENC_IS_CODE_CTYPE(ONIG_ENCODING_UTF8, code, ctype) != 0;
  };
  return std::any_of(classes.begin(), classes.end(), in) || code == 0x200C || code == 0x200D;
}

bool is_mark(char32_t code) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
  return category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;
}

std::string normal_form(std::string_view text, NormalForm form) {
  int options = UTF8PROC_STABLE;
  const bool compose = form == NormalForm::kNfc || form == NormalForm::kNfkc;
  options |= compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == NormalForm::kNfkc || form == NormalForm::kNfkd) options |= UTF8PROC_COMPAT;
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t length = utf8proc_map(
      reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
      static_cast<utf8proc_ssize_t>(text.size()), &mapped, static_cast<utf8proc_option_t>(options));
  if (length < 0) {
    throw resource_error(std::string("Unicode normal form: ") + utf8proc_errmsg(length));
  }
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
  return std::string(reinterpret_cast<const char*>(mapped), static_cast<size_t>(length));
}

std::string lower_case(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Char next = utf8_char(text, at);
    at += next.length;
    if (next.code == 0x130) {  // the one character whose lower case is two: i + dot above
      out += "i\xCC\x87";
    } else {
      const auto code = static_cast<utf8proc_int32_t>(next.code);
      append_utf8(out, static_cast<char32_t>(utf8proc_tolower(code)));
    }
  }
  return out;
}

std::string upper_case(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Char next = utf8_char(text, at);
    at += next.length;
    append_utf8(out, static_cast<char32_t>(
                         utf8proc_toupper(static_cast<utf8proc_int32_t>(next.code))));
  }
  return out;
}

}  // namespace hone
