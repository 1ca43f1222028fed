// Cuts the text of a Jinja template into tokens, with blanks treated as transformers asks for:
// trim_blocks (a line's end after a block goes), lstrip_blocks (blanks before a block that begins a
// line go), the last line's end goes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hone::chat {

struct Token {
  enum class Kind {
    kText,  // outside of tags
    kBlockBegin,
    kBlockEnd,  // {% %}
    kOutputBegin,
    kOutputEnd,  // {{ }}
    kName,
    kInteger,
    kFloat,
    kString,
    kOperator,
    kEnd,
  };
  Kind kind;
  std::string text;  // a string's without quotes and escapes
  int line;          // from 1
};

// Throws Error("line N: ...") for tags that are not closed and characters that mean nothing. The
// last token is kEnd.
std::vector<Token> tokens_of(std::string_view source);

}  // namespace hone::chat
