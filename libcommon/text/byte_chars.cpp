// The two directions of GPT-2's byte alphabet.
#include "libcommon/text/byte_chars.h"

#include "libcommon/text/unicode.h"

namespace hone {

void append_byte_chars(std::string& out, std::string_view bytes) {
  for (const char byte : bytes) {
    const uint16_t code = kByteToChar[static_cast<unsigned char>(byte)];
    if (code < 0x80) {
      out.push_back(static_cast<char>(code));
    } else {
      out.push_back(static_cast<char>(0xC0 | code >> 6));
      out.push_back(static_cast<char>(0x80 | (code & 0x3F)));
    }
  }
}

std::optional<std::string> bytes_of_chars(std::string_view chars) {
  std::string bytes;
  bytes.reserve(chars.size());
  for (size_t at = 0; at < chars.size();) {
    const Utf8Char next = utf8_char(chars, at);
    if (next.code >= kByteCharEnd || kCharToByte[next.code] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(kCharToByte[next.code]));
    at += next.length;
  }
  return bytes;
}

}  // namespace hone
