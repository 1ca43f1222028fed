// Methods of strings and dicts.
#include <algorithm>
#include <map>

#include "libcommon/base/error.h"
#include "libcommon/chat/builtins.h"
#include "libcommon/chat/operators.h"
#include "libcommon/chat/text_methods.h"
#include "libcommon/text/unicode.h"

namespace hone::chat {

namespace {

// Whether a character belongs to what strip() takes away: blanks, or any of `set`.
bool strips(std::string_view character, const std::string* set) {
  if (set != nullptr) return set->find(character) != std::string::npos;
  return is_space(utf8_char(character, 0).code);
}

std::string text_argument(const Arguments& arguments, size_t place, const char* name) {
  const Value* given = arguments.find(place, name);
  if (given == nullptr || !given->is_text()) {
    throw Error("'" + std::string(name) + "' must be a string");
  }
  return given->text();
}

int64_t count_argument(const Arguments& arguments, size_t place, const char* name,
                       int64_t otherwise) {
  const Value given = arguments.get(place, name, otherwise);
  if (!given.is_integer()) throw Error("'" + std::string(name) + "' must be a whole number");
  return given.integer();
}

List split_at_blanks(std::string_view text, int64_t most) {
  List out;
  const auto all = characters(text);
  for (size_t i = 0; i < all.size();) {
    while (i < all.size() && strips(all[i], nullptr)) ++i;
    if (i == all.size()) break;
    const size_t begin = static_cast<size_t>(all[i].data() - text.data());
    if (most >= 0 && std::ssize(out) == most) {
      out.emplace_back(strip(text.substr(begin), nullptr, false, true));
      break;
    }
    size_t end = begin;
    for (; i < all.size() && !strips(all[i], nullptr); ++i) end += all[i].size();
    check_list_size(std::ssize(out) + 1);
    out.emplace_back(text.substr(begin, end - begin));
  }
  return out;
}

List split_at(std::string_view text, const std::string& separator, int64_t most) {
  if (separator.empty()) throw Error("split: the separator is empty");
  List out;
  for (size_t at = 0;;) {
    const size_t found = text.find(separator, at);
    if (found == std::string_view::npos || (most >= 0 && std::ssize(out) == most)) {
      out.emplace_back(text.substr(at));
      return out;
    }
    check_list_size(std::ssize(out) + 1);
    out.emplace_back(text.substr(at, found - at));
    at = found + separator.size();
  }
}

List split_from_right(std::string_view text, const std::string& separator, int64_t most) {
  List out;
  while (most < 0 || std::ssize(out) < most) {
    const size_t found = text.rfind(separator);
    if (found == std::string_view::npos) break;
    check_list_size(std::ssize(out) + 1);
    out.emplace_back(text.substr(found + separator.size()));
    text = text.substr(0, found);
  }
  out.emplace_back(text);
  std::ranges::reverse(out);
  return out;
}

Value split(const std::string& text, const Arguments& arguments, bool from_right) {
  const Value separator = arguments.get(0, "sep", None{});
  const int64_t most = count_argument(arguments, 1, "maxsplit", -1);
  if (separator.is<None>()) {
    if (from_right && most >= 0) throw Error("rsplit at blanks with a maximum is not implemented");
    return split_at_blanks(text, most);
  }
  if (!separator.is_text()) throw Error("split: the separator must be a string");
  if (from_right && !separator.text().empty()) {
    return split_from_right(text, separator.text(), most);
  }
  return split_at(text, separator.text(), most);
}

// startswith and endswith take a string or a tuple of them.
template <typename Has>
bool any_affix(const Arguments& arguments, const Has& has) {
  const Value affix = arguments.get(0, "prefix", Undefined{"prefix"});
  if (affix.is_text()) return has(affix.text());
  if (!affix.is_list()) throw Error("startswith and endswith look for a string");
  return std::ranges::any_of(affix.list(),
                             [&](const Value& one) { return one.is_text() && has(one.text()); });
}

Value strip_method(const std::string& text, const Arguments& arguments, bool left, bool right) {
  const Value set = arguments.get(0, "chars", None{});
  if (!set.is<None>() && !set.is_text()) throw Error("strip: characters must be a string");
  return strip(text, set.is_text() ? &set.text() : nullptr, left, right);
}

// A place among characters; -1: none.
int64_t find_text(const std::string& text, const std::string& part) {
  const size_t found = text.find(part);
  if (found == std::string::npos) return -1;
  return length(Value(text.substr(0, found)));
}

Value split_lines(const std::string& text) {
  std::string body = text;
  if (body.ends_with('\n')) body.pop_back();
  return text.empty() ? List() : split_at(body, "\n", -1);
}

using TextMethod = Value (*)(const std::string& text, const Arguments& arguments);
const std::map<std::string_view, TextMethod>& text_methods() {
  static const std::map<std::string_view, TextMethod> methods = {
      {"strip", [](auto& t, auto& a) { return strip_method(t, a, true, true); }},
      {"lstrip", [](auto& t, auto& a) { return strip_method(t, a, true, false); }},
      {"rstrip", [](auto& t, auto& a) { return strip_method(t, a, false, true); }},
      {"split", [](auto& t, auto& a) { return split(t, a, false); }},
      {"rsplit", [](auto& t, auto& a) { return split(t, a, true); }},
      {"splitlines", [](auto& t, auto&) { return split_lines(t); }},
      {"startswith",
       [](auto& t, auto& a) {
         return Value(any_affix(a, [&](const std::string& p) { return t.starts_with(p); }));
       }},
      {"endswith",
       [](auto& t, auto& a) {
         return Value(any_affix(a, [&](const std::string& p) { return t.ends_with(p); }));
       }},
      {"replace",
       [](auto& t, auto& a) {
         return Value(replaced(t, text_argument(a, 0, "old"), text_argument(a, 1, "new"),
                               count_argument(a, 2, "count", -1)));
       }},
      {"find", [](auto& t, auto& a) { return Value(find_text(t, text_argument(a, 0, "sub"))); }},
      {"upper", [](auto& t, auto&) { return Value(upper_case(t)); }},
      {"lower", [](auto& t, auto&) { return Value(lower_case(t)); }},
      {"title", [](auto& t, auto&) { return Value(title_case(t)); }},
      {"capitalize", [](auto& t, auto&) { return Value(capitalized(t)); }},
      {"join",
       [](auto& t, auto& a) { return Value(joined(elements(a.get(0, "iterable", List())), t)); }},
  };
  return methods;
}

Value dict_method(const std::shared_ptr<Dict>& dict, const std::string& name) {
  const auto listed = [&](auto one) {
    return Function([dict, one](const Arguments&) {
      List out;
      for (const auto& item : dict->items()) out.push_back(one(item));
      return Value(std::move(out));
    });
  };
  if (name == "items") return listed([](const auto& i) { return Value(List{i.first, i.second}); });
  if (name == "keys") return listed([](const auto& i) { return Value(i.first); });
  if (name == "values") return listed([](const auto& i) { return i.second; });
  if (name != "get") return Undefined{name};
  return Function([dict](const Arguments& arguments) {
    const Value key = arguments.get(0, "key", Undefined{"key"});
    const Value* found = key.is_text() ? dict->find(key.text()) : nullptr;
    return found != nullptr ? *found : arguments.get(1, "default", None{});
  });
}

}  // namespace

std::string strip(std::string_view text, const std::string* set, bool left, bool right) {
  const auto all = characters(text);
  size_t begin = 0, end = all.size();
  while (left && begin < end && strips(all[begin], set)) ++begin;
  while (right && end > begin && strips(all[end - 1], set)) --end;
  std::string out;
  for (size_t i = begin; i < end; ++i) out += all[i];
  return out;
}

std::string replaced(const std::string& text, const std::string& old, const std::string& with,
                     int64_t most) {
  if (old.empty()) throw Error("replace: what to look for is empty");
  std::string out;
  size_t at = 0;
  for (int64_t i = 0; most < 0 || i < most; ++i) {
    const size_t found = text.find(old, at);
    if (found == std::string::npos) break;
    out.append(text, at, found - at).append(with);
    check_text_size(std::ssize(out));
    at = found + old.size();
  }
  return out.append(text, at);
}

std::string joined(const List& items, const std::string& separator) {
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += separator;
    out += to_text(items[i]);
    check_text_size(std::ssize(out));
  }
  return out;
}

std::string capitalized(const std::string& text) {
  const auto all = characters(text);
  if (all.empty()) return "";
  return upper_case(all[0]) + lower_case(std::string_view(text).substr(all[0].size()));
}

std::string title_case(const std::string& text) {
  std::string out;
  bool inside = false;
  for (const std::string_view character : characters(text)) {
    out += inside ? lower_case(character) : upper_case(character);
    const char32_t code = utf8_char(character, 0).code;
    inside = is_word(code) && code != '_' && !(code >= '0' && code <= '9');
  }
  return out;
}

Value method(const Value& object, const std::string& name) {
  if (object.is_dict()) return dict_method(object.shared_dict(), name);
  if (!object.is_text()) return Undefined{name};
  const auto found = text_methods().find(name);
  if (found == text_methods().end()) return Undefined{name};
  return Function([text = object, call = found->second](const Arguments& arguments) {
    return call(text.text(), arguments);
  });
}

}  // namespace hone::chat
