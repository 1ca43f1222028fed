#include "libcommon/base/utf8.h"

#include <cstdint>
#include <cstdio>

namespace hone {
namespace {

struct Lead {
  size_t bytes;        // of the whole sequence
  uint8_t second_low;  // the second byte's range excludes overlong forms and surrogates
  uint8_t second_high;
};

Lead classify(uint8_t lead) {
  if (lead < 0x80) return {1, 0, 0};
  if (lead < 0xc2) return {0, 0, 0};
  if (lead < 0xe0) return {2, 0x80, 0xbf};
  if (lead == 0xe0) return {3, 0xa0, 0xbf};
  if (lead == 0xed) return {3, 0x80, 0x9f};
  if (lead < 0xf0) return {3, 0x80, 0xbf};
  if (lead == 0xf0) return {4, 0x90, 0xbf};
  if (lead < 0xf4) return {4, 0x80, 0xbf};
  if (lead == 0xf4) return {4, 0x80, 0x8f};
  return {0, 0, 0};
}

}  // namespace

size_t utf8_sequence(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[at + i]); };
  const Lead lead = classify(byte(0));
  if (lead.bytes == 0 || lead.bytes > text.size() - at) return 0;
  if (lead.bytes == 1) return 1;
  if (byte(1) < lead.second_low || byte(1) > lead.second_high) return 0;
  for (size_t i = 2; i < lead.bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  return lead.bytes;
}

bool is_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = utf8_sequence(text, at);
    if (bytes == 0) return false;
    at += bytes;
  }
  return true;
}

std::string printable(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const uint8_t byte = static_cast<uint8_t>(text[at]);
    const size_t bytes = utf8_sequence(text, at);
    // C1 controls (U+0080..U+009F) start escape sequences on some terminals too.
    const bool c1 = bytes == 2 && byte == 0xc2 && static_cast<uint8_t>(text[at + 1]) < 0xa0;
    if (bytes == 0 || c1 || byte < 0x20 || byte == 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02x", byte);
      out += escape;
      at += 1;
      if (c1) {
        std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<uint8_t>(text[at++]));
        out += escape;
      }
      continue;
    }
    out += text.substr(at, bytes);
    at += bytes;
  }
  return out;
}

std::string quote_name(std::string_view text) {
  constexpr size_t kLongest = 120, kKept = 50;
  if (text.size() <= kLongest) return "'" + printable(text) + "'";
  return "'" + printable(text.substr(0, kKept)) + "..." +
         printable(text.substr(text.size() - kKept)) + "'";
}

}  // namespace hone
