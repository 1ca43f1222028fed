// What both methods and filters do to texts.
#pragma once

#include <string>
#include <string_view>

#include "libcommon/chat/value.h"

namespace hone::chat {

// Without blanks, or without the characters of `set`, at its ends.
std::string strip(std::string_view text, const std::string* set, bool left, bool right);
// most < 0: all of them.
std::string replaced(const std::string& text, const std::string& old, const std::string& with,
                     int64_t most);
std::string joined(const List& items, const std::string& separator);
std::string capitalized(const std::string& text);  // the first letter large, the others small
std::string title_case(const std::string& text);   // so in every word

}  // namespace hone::chat
