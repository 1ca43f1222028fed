// What templates may call: filters (a | trim), tests (a is none), methods (a.strip()) and functions
// (range(3)), each in one table. Semantics are those of Jinja 3 and Python.
#pragma once

#include <string>

#include "libcommon/chat/value.h"

namespace hone::chat {

// Throw Error for names that are not implemented and arguments that do not fit.
Value apply_filter(const std::string& name, const Value& operand, const Arguments& arguments);
bool apply_test(const std::string& name, const Value& operand, const Arguments& arguments);

// object.name(...), to be called; Undefined where there is no such method.
Value method(const Value& object, const std::string& name);

// Names that every template knows: range, namespace, dict, raise_exception, strftime_now.
Dict global_functions();

}  // namespace hone::chat
