// What the operators of templates do, as in Python. All throw Error("what is wrong") without a
// line.
#pragma once

#include <string_view>

#include "libcommon/chat/value.h"

namespace hone::chat {

// No text or list of a template becomes larger: a template may repeat what it likes.
constexpr int64_t kLongestText = 64 << 20;
constexpr int64_t kLongestList = 1 << 20;
void check_text_size(int64_t bytes);
void check_list_size(int64_t items);

bool equal(const Value& a, const Value& b);
bool less(const Value& a, const Value& b);  // numbers with numbers, strings with strings, lists
bool contains(const Value& all, const Value& part);
// sign: == != < <= > >= in, not in.
bool compare(std::string_view sign, const Value& a, const Value& b);

Value negative(const Value& value);
// sign: + - * / // % ** ~.
Value combine(std::string_view sign, const Value& a, const Value& b);

// a[index]; Undefined where there is none.
Value subscript(const Value& object, const Value& index);
// a[begin:end:step]; None or Undefined where a bound is left out.
Value slice(const Value& object, const Value& begin, const Value& end, const Value& step);

// Characters of a text, each with all its bytes.
std::vector<std::string_view> characters(std::string_view text);
// What a loop meets: items, keys or characters; nothing for Undefined.
List elements(const Value& value);
int64_t length(const Value& value);

}  // namespace hone::chat
