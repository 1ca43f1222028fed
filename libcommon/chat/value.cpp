#include "libcommon/chat/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "libcommon/base/error.h"
#include "libcommon/chat/operators.h"

namespace hone::chat {
namespace {

// As Python's repr() of a float.
std::string float_text(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  char digits[32];
  const double size = std::fabs(number);
  const bool plain = size == 0 || (size >= 1e-4 && size < 1e16);
  const auto format = plain ? std::chars_format::fixed : std::chars_format::scientific;
  std::string text(digits, std::to_chars(digits, std::end(digits), number, format).ptr);
  return plain && text.find('.') == std::string::npos ? text + ".0" : text;
}

std::string quoted(const std::string& text) {
  const bool single = text.find('\'') == std::string::npos || text.find('"') != std::string::npos;
  const char quote = single ? '\'' : '"';
  std::string out(1, quote);
  for (const char c : text) {
    if (c == quote || c == '\\') out += '\\';
    if (c == '\n') out += "\\n";
    if (c == '\r') out += "\\r";
    if (c == '\t') out += "\\t";
    if (c != '\n' && c != '\r' && c != '\t') out += c;
  }
  return out + quote;
}

void check_depth(int depth) {
  if (depth > kDeepest) throw Error("values are nested too deep");
}

std::string represent(const Value& value, int depth);

std::string represent_all(const Value& value, int depth) {
  check_depth(depth);
  std::string out;
  const auto add = [&out](const std::string& text) {
    out += (out.empty() ? "" : ", ") + text;
    check_text_size(std::ssize(out));
  };
  if (value.is_list()) {
    for (const Value& item : value.list()) add(represent(item, depth + 1));
    return "[" + out + "]";
  }
  for (const auto& [key, item] : value.dict().items()) {
    add(quoted(key) + ": " + represent(item, depth + 1));
  }
  return "{" + out + "}";
}

std::string represent(const Value& value, int depth) {
  if (value.is_text()) return quoted(value.text());
  if (value.is_list() || value.is_dict()) return represent_all(value, depth);
  return to_text(value);
}

// Writes one value of to_json().
class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}

  void write(const Value& value, int depth) {
    check_depth(depth);
    check_text_size(std::ssize(out));
    if (value.is_list()) {
      write_all("[", "]", value.list(), depth, [&](const Value& item) { write(item, depth + 1); });
    } else if (value.is_dict()) {
      write_all("{", "}", members(value), depth, [&](const auto& member) {
        out += Json(member.first).dump() + style_.key;
        write(member.second, depth + 1);
      });
    } else {
      write_one(value);
    }
  }

  std::string out;

 private:
  void write_one(const Value& value) {
    if (value.is_text()) {
      out += Json(value.text()).dump(-1, ' ', false, Json::error_handler_t::replace);
    } else if (value.is<None>()) {
      out += "null";
    } else if (value.is<bool>()) {
      out += truth(value) ? "true" : "false";
    } else if (value.is_number()) {
      out += to_text(value);
    } else {
      throw Error("tojson: " + kind(value) + " is no value of JSON");
    }
  }

  std::vector<std::pair<std::string, Value>> members(const Value& value) const {
    auto items = value.dict().items();
    if (style_.sorted) std::ranges::stable_sort(items, {}, &std::pair<std::string, Value>::first);
    return items;
  }

  template <typename Items, typename Write>
  void write_all(const char* open, const char* close, const Items& items, int depth,
                 const Write& write_item) {
    out += open;
    bool first = true;
    for (const auto& item : items) {
      if (!first) out += style_.indent >= 0 ? trimmed(style_.item) : style_.item;
      first = false;
      new_line(depth + 1);
      write_item(item);
    }
    if (!first) new_line(depth);
    out += close;
  }

  // json.dumps ends a line with "," where it indents.
  static std::string trimmed(const std::string& separator) {
    return separator == ", " ? "," : separator;
  }
  void new_line(int depth) {
    if (style_.indent < 0) return;
    out += '\n';
    out.append(static_cast<size_t>(style_.indent * depth), ' ');
  }

  const JsonStyle& style_;
};

}  // namespace

void release_in_turn(std::shared_ptr<void> object) {
  thread_local std::vector<std::shared_ptr<void>> waiting;
  thread_local bool releasing = false;
  waiting.push_back(std::move(object));
  if (std::exchange(releasing, true)) return;
  while (!waiting.empty()) {
    const std::shared_ptr<void> next = std::move(waiting.back());
    waiting.pop_back();
  }
  releasing = false;
}

const Value* Dict::find(std::string_view key) const {
  const auto found =
      std::ranges::find(items_, key, [](const auto& i) -> std::string_view { return i.first; });
  return found == items_.end() ? nullptr : &found->second;
}

void Dict::set(const std::string& key, Value value) {
  const auto found = std::ranges::find(items_, key, &std::pair<std::string, Value>::first);
  if (found != items_.end()) {
    found->second = std::move(value);
  } else {
    items_.emplace_back(key, std::move(value));
  }
}

const Value* Arguments::find(size_t place, std::string_view name) const {
  if (place < positional.size()) return &positional[place];
  for (const auto& [key, value] : named) {
    if (key == name) return &value;
  }
  return nullptr;
}

Value Arguments::get(size_t place, std::string_view name, Value otherwise) const {
  const Value* given = find(place, name);
  return given != nullptr ? *given : std::move(otherwise);
}

bool truth(const Value& value) {
  if (value.is<Undefined>() || value.is<None>()) return false;
  if (value.is_number()) return value.number() != 0;
  if (value.is_text()) return !value.text().empty();
  if (value.is_list()) return !value.list().empty();
  return !value.is_dict() || !value.dict().items().empty();
}

std::string kind(const Value& value) {
  if (value.is<Undefined>()) return "'" + value.undefined_name() + "', which is undefined,";
  if (value.is<None>()) return "none";
  if (value.is<bool>()) return "a boolean";
  if (value.is_number()) return "a number";
  if (value.is_text()) return "a string";
  if (value.is_list()) return "a list";
  return value.is_dict() ? "a dict" : "a function";
}

std::string to_text(const Value& value) {
  if (value.is_text()) return value.text();
  if (value.is<Undefined>()) return "";
  if (value.is<None>()) return "None";
  if (value.is<bool>()) return truth(value) ? "True" : "False";
  if (value.is_integer()) return std::to_string(value.integer());
  if (value.is<double>()) return float_text(value.number());
  if (value.is_function()) throw Error("a function has no text; were its parentheses forgotten?");
  return represent(value, 0);
}

std::string representation(const Value& value) { return represent(value, 0); }

std::string to_json(const Value& value, const JsonStyle& style) {
  JsonWriter writer(style);
  writer.write(value, 0);
  return writer.out;
}

Value from_json(const Json& json) {
  switch (json.type()) {
    case Json::value_t::boolean:
      return json.get<bool>();
    case Json::value_t::number_integer:
      return json.get<int64_t>();
    case Json::value_t::number_float:
      return json.get<double>();
    case Json::value_t::string:
      return json.get<std::string>();
    case Json::value_t::number_unsigned: {
      const auto number = json.get<uint64_t>();
      return number <= INT64_MAX ? Value(static_cast<int64_t>(number))
                                 : Value(static_cast<double>(number));
    }
    case Json::value_t::array: {
      List list;
      for (const Json& item : json) list.push_back(from_json(item));
      return list;
    }
    case Json::value_t::object: {
      Dict dict;
      for (const auto& [key, item] : json.items()) dict.set(key, from_json(item));
      return dict;
    }
    default:
      return None{};
  }
}

}  // namespace hone::chat
