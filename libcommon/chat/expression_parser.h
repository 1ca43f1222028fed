// Parses expressions, by the grammar of Jinja 3.
#pragma once

#include "libcommon/chat/syntax.h"
#include "libcommon/chat/token_reader.h"

namespace hone::chat {

// All read from where the reader is, and throw Error("line N: ...").
ExpressionPtr parse_expression(TokenReader& reader);
// a, b: a tuple, which is a list here; or one expression.
ExpressionPtr parse_tuple(TokenReader& reader);
// What a for loop runs over: the `if` behind it is the loop's.
ExpressionPtr parse_loop_items(TokenReader& reader);

}  // namespace hone::chat
