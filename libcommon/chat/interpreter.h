// Runs a parsed template.
#pragma once

#include <string>

#include "libcommon/chat/syntax.h"

namespace hone::chat {

// The text that the template makes of these variables. Work, text and depth of calls are bounded,
// so that a hostile template ends. Throws Error("line N: ...").
std::string run_template(const Block& block, const Dict& variables);

}  // namespace hone::chat
