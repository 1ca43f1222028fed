// Tests: VALUE is NAME ARGUMENT, and the functions that every template knows.
#include <ctime>
#include <map>

#include "libcommon/base/error.h"
#include "libcommon/chat/builtins.h"
#include "libcommon/chat/operators.h"
#include "libcommon/text/unicode.h"

namespace hone::chat {
namespace {

const Value& operand_of(const Arguments& arguments) {
  if (arguments.positional.size() != 1) throw Error("this test compares with one value");
  return arguments.positional[0];
}

bool divides(const Value& value, const Value& by) {
  return equal(combine("%", value, by), int64_t{0});
}

using TestBody = bool (*)(const Value& value, const Arguments& arguments);
const std::map<std::string_view, TestBody>& tests() {
  static const std::map<std::string_view, TestBody> table = {
      {"boolean", [](auto& v, auto&) { return v.template is<bool>(); }},
      {"callable", [](auto& v, auto&) { return v.is_function(); }},
      {"defined", [](auto& v, auto&) { return !v.template is<Undefined>(); }},
      {"divisibleby", [](auto& v, auto& a) { return divides(v, operand_of(a)); }},
      {"eq", [](auto& v, auto& a) { return equal(v, operand_of(a)); }},
      {"equalto", [](auto& v, auto& a) { return equal(v, operand_of(a)); }},
      {"even", [](auto& v, auto&) { return divides(v, int64_t{2}); }},
      {"false", [](auto& v, auto&) { return v.template is<bool>() && !truth(v); }},
      {"float", [](auto& v, auto&) { return v.template is<double>(); }},
      {"ge", [](auto& v, auto& a) { return compare(">=", v, operand_of(a)); }},
      {"gt", [](auto& v, auto& a) { return compare(">", v, operand_of(a)); }},
      {"greaterthan", [](auto& v, auto& a) { return compare(">", v, operand_of(a)); }},
      {"in", [](auto& v, auto& a) { return contains(operand_of(a), v); }},
      {"integer", [](auto& v, auto&) { return v.template is<int64_t>(); }},
      {"iterable",
       [](auto& v, auto&) {
         return v.is_text() || v.is_list() || v.is_dict() || v.template is<Undefined>();
       }},
      {"le", [](auto& v, auto& a) { return compare("<=", v, operand_of(a)); }},
      {"lessthan", [](auto& v, auto& a) { return compare("<", v, operand_of(a)); }},
      {"lower", [](auto& v, auto&) { return lower_case(to_text(v)) == to_text(v); }},
      {"lt", [](auto& v, auto& a) { return compare("<", v, operand_of(a)); }},
      {"mapping", [](auto& v, auto&) { return v.is_dict(); }},
      {"ne", [](auto& v, auto& a) { return !equal(v, operand_of(a)); }},
      {"none", [](auto& v, auto&) { return v.template is<None>(); }},
      {"number", [](auto& v, auto&) { return v.is_number(); }},
      {"odd", [](auto& v, auto&) { return equal(combine("%", v, int64_t{2}), int64_t{1}); }},
      {"sequence", [](auto& v, auto&) { return v.is_text() || v.is_list() || v.is_dict(); }},
      {"string", [](auto& v, auto&) { return v.is_text(); }},
      {"true", [](auto& v, auto&) { return v.template is<bool>() && truth(v); }},
      {"undefined", [](auto& v, auto&) { return v.template is<Undefined>(); }},
      {"upper", [](auto& v, auto&) { return upper_case(to_text(v)) == to_text(v); }},
  };
  return table;
}

Value range(const Arguments& arguments) {
  int64_t bounds[3] = {0, 0, 1};
  const size_t given = arguments.positional.size();
  if (given < 1 || given > 3) throw Error("range takes one to three numbers");
  for (size_t i = 0; i < given; ++i) {
    if (!arguments.positional[i].is_integer()) throw Error("range takes whole numbers");
    bounds[given == 1 ? 1 : i] = arguments.positional[i].integer();
  }
  const auto [begin, end, step] = bounds;
  if (step == 0) throw Error("range cannot have step 0");
  List out;
  for (__int128 at = begin; step > 0 ? at < end : at > end; at += step) {
    check_list_size(std::ssize(out) + 1);
    out.emplace_back(static_cast<int64_t>(at));
  }
  return out;
}

Value new_dict(const Arguments& arguments) {
  Dict dict;
  if (!arguments.positional.empty() && arguments.positional[0].is_dict()) {
    dict = arguments.positional[0].dict();
  }
  for (const auto& [name, value] : arguments.named) dict.set(name, value);
  return dict;
}

Value local_time(const Arguments& arguments) {
  const Value format = arguments.get(0, "format", "%Y-%m-%d");
  const std::time_t now = std::time(nullptr);
  std::tm broken_down{};
  localtime_r(&now, &broken_down);
  char text[256];
  return std::string(text,
                     std::strftime(text, sizeof(text), to_text(format).c_str(), &broken_down));
}

Value raise(const Arguments& arguments) {
  throw Error(to_text(arguments.get(0, "message", "the template refuses these messages")));
}

}  // namespace

bool apply_test(const std::string& name, const Value& operand, const Arguments& arguments) {
  const auto found = tests().find(name);
  if (found == tests().end()) throw Error("the test '" + name + "' is not implemented");
  return found->second(operand, arguments);
}

Dict global_functions() {
  Dict names;
  names.set("range", Function(range));
  names.set("dict", Function(new_dict));
  names.set("namespace", Function(new_dict));
  names.set("raise_exception", Function(raise));
  names.set("strftime_now", Function(local_time));
  return names;
}

}  // namespace hone::chat
