// UTF-8 seen as bytes: is it valid, and how is a name from a file shown in a message without
// letting it drive the user's terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace hone {

// Bytes of the well-formed sequence that starts at text[at] (Unicode 15, table 3-7: no overlong
// forms, no surrogates, nothing above U+10FFFF); 0 where there is none.
size_t utf8_sequence(std::string_view text, size_t at);

bool is_utf8(std::string_view text);

// Valid UTF-8 of one line: control characters and ill-formed bytes as \xNN.
std::string printable(std::string_view text);

// "'text'": printable, the middle of long texts left out.
std::string quote_name(std::string_view text);  // (std::quoted would win over "quoted")

}  // namespace hone
