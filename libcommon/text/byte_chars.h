// GPT-2's way to write bytes as visible characters, so that byte-level vocabularies are JSON text:
// printable Latin-1 stands for itself (! to ~, U+00A1-AC, U+00AE-FF), the other 68 bytes in rising
// order become U+0100-U+0143: space is U+0120 "Ġ", newline U+010A "Ċ".
// https://github.com/openai/gpt-2/blob/master/src/encoder.py (bytes_to_unicode)
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hone {

constexpr int kByteCharEnd = 0x144;  // one past the largest code point in use

constexpr bool byte_is_its_own_char(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

// byte -> code point
inline constexpr std::array<uint16_t, 256> kByteToChar = [] {
  std::array<uint16_t, 256> table{};
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    table[static_cast<size_t>(byte)] =
        static_cast<uint16_t>(byte_is_its_own_char(byte) ? byte : next++);
  }
  return table;
}();

// code point -> byte, -1 for none
inline constexpr std::array<int16_t, kByteCharEnd> kCharToByte = [] {
  std::array<int16_t, kByteCharEnd> table{};
  for (auto& entry : table) entry = -1;
  for (int byte = 0; byte < 256; ++byte) {
    table[kByteToChar[static_cast<size_t>(byte)]] = static_cast<int16_t>(byte);
  }
  return table;
}();

// All code points in use are below U+0800: one or two bytes of UTF-8.
void append_byte_chars(std::string& out, std::string_view bytes);

// The bytes a token stands for; nullopt where a character is outside the map.
std::optional<std::string> bytes_of_chars(std::string_view chars);

}  // namespace hone
