// Filters: VALUE | NAME(ARGUMENTS).
#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>

#include "libcommon/base/error.h"
#include "libcommon/chat/builtins.h"
#include "libcommon/chat/operators.h"
#include "libcommon/chat/text_methods.h"
#include "libcommon/text/unicode.h"

namespace hone::chat {
namespace {

// Of filters that take longer than their lists are long.
void check_work(int64_t steps) {
  if (steps > 4 * kLongestList) throw Error("a list is too long for this filter");
}

int64_t whole(const Value& value, const char* what) {
  if (!value.is_integer()) throw Error(std::string(what) + " must be a whole number");
  return value.integer();
}

// "a.b" looks b up in a; a number is a place in a list.
Value path_value(Value value, const Value& path) {
  if (!path.is_text()) return subscript(value, path);
  std::string_view rest = path.text();
  while (!rest.empty()) {
    const size_t point = std::min(rest.find('.'), rest.size());
    const std::string name(rest.substr(0, point));
    rest.remove_prefix(std::min(point + 1, rest.size()));
    const bool number =
        name.find_first_not_of("0123456789") == std::string::npos && name.size() < 10;
    value = subscript(value, number ? Value(static_cast<int64_t>(std::stol(name))) : Value(name));
  }
  return value;
}

Arguments after(const Arguments& arguments, size_t count) {
  Arguments rest{{}, arguments.named};
  for (size_t i = count; i < arguments.positional.size(); ++i) {
    rest.positional.push_back(arguments.positional[i]);
  }
  return rest;
}

std::string name_at(const Arguments& arguments, size_t place, const char* what) {
  if (place >= arguments.positional.size() || !arguments.positional[place].is_text()) {
    throw Error(std::string(what) + " needs a name");
  }
  return arguments.positional[place].text();
}

// What map and select run over: none is nothing to them.
List elements_or_none(const Value& value) { return truth(value) ? elements(value) : List(); }

Value map_filter(const Value& operand, const Arguments& arguments) {
  List out;
  const Value* path = arguments.find(SIZE_MAX, "attribute");
  const Value* otherwise = arguments.find(SIZE_MAX, "default");
  for (const Value& item : elements_or_none(operand)) {
    if (path == nullptr) {
      out.push_back(apply_filter(name_at(arguments, 0, "map"), item, after(arguments, 1)));
      continue;
    }
    const Value found = path_value(item, *path);
    out.push_back(found.is<Undefined>() && otherwise != nullptr ? *otherwise : found);
  }
  return out;
}

// select, reject, selectattr, rejectattr: items that pass a test, or do not.
Value select_filter(const Value& operand, const Arguments& arguments, bool attribute, bool wanted) {
  const size_t at = attribute ? 1 : 0;
  if (attribute && arguments.positional.empty()) throw Error("selectattr needs an attribute");
  List out;
  for (const Value& item : elements_or_none(operand)) {
    const Value tested = attribute ? path_value(item, arguments.positional[0]) : item;
    const bool passes =
        arguments.positional.size() > at
            ? apply_test(name_at(arguments, at, "select"), tested, after(arguments, at + 1))
            : truth(tested);
    if (passes == wanted) out.push_back(item);
  }
  return out;
}

// What is compared: an attribute of the item; of texts, unless case matters, their small letters.
Value sort_key(const Value& item, const Value& path, bool case_matters) {
  const Value key = path.is<None>() ? item : path_value(item, path);
  return key.is_text() && !case_matters ? Value(lower_case(key.text())) : key;
}

Value sort_filter(const Value& operand, const Arguments& arguments) {
  const bool reverse = truth(arguments.get(0, "reverse", false));
  const bool case_matters = truth(arguments.get(1, "case_sensitive", false));
  const Value path = arguments.get(2, "attribute", None{});
  List items = elements(operand);
  std::ranges::stable_sort(items, [&](const Value& a, const Value& b) {
    const Value x = sort_key(a, path, case_matters), y = sort_key(b, path, case_matters);
    return reverse ? less(y, x) : less(x, y);
  });
  return items;
}

Value dictsort_filter(const Value& operand, const Arguments& arguments) {
  if (!operand.is_dict()) throw Error("dictsort of " + kind(operand));
  const bool case_matters = truth(arguments.get(0, "case_sensitive", false));
  const Value by = arguments.get(1, "by", "key");
  List pairs;
  for (const auto& [key, item] : operand.dict().items()) pairs.emplace_back(List{key, item});
  Arguments order;
  order.named = {{"reverse", arguments.get(2, "reverse", false)},
                 {"case_sensitive", case_matters},
                 {"attribute", int64_t{equal(by, "value") ? 1 : 0}}};
  return sort_filter(pairs, order);
}

Value unique_filter(const Value& operand, const Arguments& arguments) {
  const bool case_matters = truth(arguments.get(0, "case_sensitive", false));
  const Value path = arguments.get(1, "attribute", None{});
  List out, keys;
  for (const Value& item : elements(operand)) {
    const Value key = sort_key(item, path, case_matters);
    if (contains(keys, key)) continue;
    check_work(std::ssize(keys) * std::ssize(keys));
    keys.push_back(key);
    out.push_back(item);
  }
  return out;
}

Value extreme(const Value& operand, bool largest) {
  const List items = elements(operand);
  if (items.empty()) return Undefined{largest ? "max of nothing" : "min of nothing"};
  const auto found =
      largest ? std::ranges::max_element(items, less) : std::ranges::min_element(items, less);
  return *found;
}

Value default_filter(const Value& operand, const Arguments& arguments) {
  const bool falsy = truth(arguments.get(1, "boolean", false)) && !truth(operand);
  return operand.is<Undefined>() || falsy ? arguments.get(0, "default_value", "") : operand;
}

Value tojson_filter(const Value& operand, const Arguments& arguments) {
  JsonStyle style;
  const Value indent = arguments.get(1, "indent", None{});
  if (!indent.is<None>()) style.indent = std::clamp<int64_t>(whole(indent, "indent"), 0, 64);
  const Value separators = arguments.get(2, "separators", None{});
  if (separators.is_list() && separators.list().size() == 2) {
    style.item = to_text(separators.list()[0]);
    style.key = to_text(separators.list()[1]);
  }
  style.sorted = truth(arguments.get(3, "sort_keys", false));
  return to_json(operand, style);
}

Value indent_filter(const Value& operand, const Arguments& arguments) {
  const Value width = arguments.get(0, "width", int64_t{4});
  const bool first = truth(arguments.get(1, "first", false));
  const bool blank = truth(arguments.get(2, "blank", false));
  const std::string margin =
      width.is_text()
          ? width.text()
          : std::string(static_cast<size_t>(std::clamp<int64_t>(whole(width, "width"), 0, 1 << 16)),
                        ' ');
  std::string out;
  const std::string text = to_text(operand) + "\n";
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    const bool indented = at == 0 ? first : (end > at || blank);
    out += (at == 0 ? "" : "\n") + (indented ? margin : "") + text.substr(at, end - at);
    check_text_size(std::ssize(out));
    at = end + 1;
  }
  return out;
}

// nullopt for what is no number, nor the text of one.
std::optional<double> number_in(const Value& value) {
  if (value.is_number()) return value.number();
  if (!value.is_text()) return std::nullopt;
  const std::string digits = strip(value.text(), nullptr, true, true);
  const char* const end = digits.data() + digits.size();
  double real = 0;
  if (digits.empty() || std::from_chars(digits.data(), end, real).ptr != end) return std::nullopt;
  return real;
}

Value int_filter(const Value& operand, const Arguments& arguments) {
  if (operand.is_integer()) return operand.integer();
  const std::optional<double> real = number_in(operand);
  if (real && std::fabs(*real) < 0x1p62) return static_cast<int64_t>(*real);
  return arguments.get(0, "default", int64_t{0});
}

Value float_filter(const Value& operand, const Arguments& arguments) {
  const std::optional<double> real = number_in(operand);
  return real ? Value(*real) : arguments.get(0, "default", 0.0);
}

Value round_filter(const Value& operand, const Arguments& arguments) {
  if (!operand.is_number()) throw Error("round of " + kind(operand));
  const double scale = std::pow(
      10.0, static_cast<double>(whole(arguments.get(0, "precision", int64_t{0}), "precision")));
  return std::nearbyint(operand.number() * scale) / scale;
}

Value sum_filter(const Value& operand, const Arguments& arguments) {
  const Value path = arguments.get(0, "attribute", None{});
  Value total = arguments.get(1, "start", int64_t{0});
  int64_t work = 0;
  for (const Value& item : elements(operand)) {
    total = combine("+", total, path.is<None>() ? item : path_value(item, path));
    if (total.is_list()) check_work(work += std::ssize(total.list()));
  }
  return total;
}

Value join_filter(const Value& operand, const Arguments& arguments) {
  const Value path = arguments.get(1, "attribute", None{});
  List items = elements(operand);
  if (!path.is<None>()) {
    for (Value& item : items) item = path_value(item, path);
  }
  return joined(items, to_text(arguments.get(0, "d", "")));
}

Value items_filter(const Value& operand) {
  if (operand.is<Undefined>()) return List();
  if (!operand.is_dict()) throw Error("items of " + kind(operand));
  return method(operand, "items").function()({});
}

Value strip_filter(const Value& operand, const Arguments& arguments) {
  const Value set = arguments.get(0, "chars", None{});
  return strip(to_text(operand), set.is_text() ? &set.text() : nullptr, true, true);
}

Value reverse_filter(const Value& operand) {
  return slice(operand.is_text() ? operand : Value(elements(operand)), None{}, None{}, int64_t{-1});
}

Value first_or_last(const Value& operand, bool first) {
  const List items = elements(operand);
  if (items.empty()) return Undefined{first ? "first of nothing" : "last of nothing"};
  return first ? items.front() : items.back();
}

// Where a template writes HTML.
Value escape_filter(const Value& operand) {
  std::string out;
  for (const char c : to_text(operand)) {
    constexpr std::string_view kSigns = "&<>'\"";
    constexpr const char* kEscapes[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    const size_t sign = kSigns.find(c);
    out += sign == std::string_view::npos ? std::string(1, c) : kEscapes[sign];
  }
  return out;
}

Value replace_filter(const Value& operand, const Arguments& arguments) {
  const Value old = arguments.get(0, "old", Undefined{"old"});
  const Value with = arguments.get(1, "new", Undefined{"new"});
  const Value most = arguments.get(2, "count", int64_t{-1});
  return replaced(to_text(operand), to_text(old), to_text(with), whole(most, "count"));
}

using FilterBody = Value (*)(const Value& operand, const Arguments& arguments);
const std::map<std::string_view, FilterBody>& filters() {
  static const std::map<std::string_view, FilterBody> table = {
      {"abs", [](auto& v, auto&) { return less(v, int64_t{0}) ? negative(v) : v; }},
      {"capitalize", [](auto& v, auto&) { return Value(capitalized(to_text(v))); }},
      {"count", [](auto& v, auto&) { return Value(length(v)); }},
      {"d", default_filter},
      {"default", default_filter},
      {"dictsort", dictsort_filter},
      {"e", [](auto& v, auto&) { return escape_filter(v); }},
      {"escape", [](auto& v, auto&) { return escape_filter(v); }},
      {"first", [](auto& v, auto&) { return first_or_last(v, true); }},
      {"float", float_filter},
      {"indent", indent_filter},
      {"int", int_filter},
      {"items", [](auto& v, auto&) { return items_filter(v); }},
      {"join", join_filter},
      {"last", [](auto& v, auto&) { return first_or_last(v, false); }},
      {"length", [](auto& v, auto&) { return Value(length(v)); }},
      {"list", [](auto& v, auto&) { return Value(elements(v)); }},
      {"lower", [](auto& v, auto&) { return Value(lower_case(to_text(v))); }},
      {"map", map_filter},
      {"max", [](auto& v, auto&) { return extreme(v, true); }},
      {"min", [](auto& v, auto&) { return extreme(v, false); }},
      {"reject", [](auto& v, auto& a) { return select_filter(v, a, false, false); }},
      {"rejectattr", [](auto& v, auto& a) { return select_filter(v, a, true, false); }},
      {"replace", replace_filter},
      {"reverse", [](auto& v, auto&) { return reverse_filter(v); }},
      {"round", round_filter},
      {"safe", [](auto& v, auto&) { return v; }},
      {"select", [](auto& v, auto& a) { return select_filter(v, a, false, true); }},
      {"selectattr", [](auto& v, auto& a) { return select_filter(v, a, true, true); }},
      {"sort", sort_filter},
      {"string", [](auto& v, auto&) { return Value(to_text(v)); }},
      {"sum", sum_filter},
      {"title", [](auto& v, auto&) { return Value(title_case(to_text(v))); }},
      {"tojson", tojson_filter},
      {"trim", strip_filter},
      {"unique", unique_filter},
      {"upper", [](auto& v, auto&) { return Value(upper_case(to_text(v))); }},
  };
  return table;
}

}  // namespace

Value apply_filter(const std::string& name, const Value& operand, const Arguments& arguments) {
  const auto found = filters().find(name);
  if (found == filters().end()) throw Error("the filter '" + name + "' is not implemented");
  return found->second(operand, arguments);
}

}  // namespace hone::chat
