#include "libcommon/chat/operators.h"

#include <algorithm>
#include <cmath>

#include "libcommon/base/error.h"
#include "libcommon/text/unicode.h"

namespace hone::chat {
namespace {

[[noreturn]] void refuse(std::string_view sign, const Value& a, const Value& b) {
  throw Error("'" + std::string(sign) + "' does not join " + kind(a) + " and " + kind(b));
}

// Compares two values; `left_` counts down, because lists may share lists many times over.
class Equality {
 public:
  bool operator()(const Value& a, const Value& b, int depth) {
    if (depth > kDeepest) throw Error("values are nested too deep");
    if (--left_ < 0) throw Error("lists are too long to compare");
    if (a.is_integer() && b.is_integer()) return a.integer() == b.integer();
    if (a.is_number() && b.is_number()) return a.number() == b.number();
    if (a.is_text() && b.is_text()) return a.text() == b.text();
    if (a.is_list() && b.is_list()) return lists(a.list(), b.list(), depth);
    if (a.is_dict() && b.is_dict()) return dicts(a.dict(), b.dict(), depth);
    return (a.is<None>() && b.is<None>()) || (a.is<Undefined>() && b.is<Undefined>());
  }

 private:
  bool lists(const List& a, const List& b, int depth) {
    return std::ranges::equal(
        a, b, [&](const Value& x, const Value& y) { return (*this)(x, y, depth + 1); });
  }
  bool dicts(const Dict& a, const Dict& b, int depth) {
    return a.items().size() == b.items().size() &&
           std::ranges::all_of(a.items(), [&](const auto& item) {
             const Value* other = b.find(item.first);
             return other != nullptr && (*this)(item.second, *other, depth + 1);
           });
  }

  int64_t left_ = kLongestList;
};

bool less_lists(const List& a, const List& b) {
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (!equal(a[i], b[i])) return less(a[i], b[i]);
  }
  return a.size() < b.size();
}

Value repeated(const Value& what, int64_t times) {
  times = std::max<int64_t>(times, 0);
  const int64_t size = length(what);
  const int64_t most = what.is_text() ? kLongestText : kLongestList;
  if (size > 0 && times > most / size) throw Error("'*' makes too much");
  if (what.is_text()) {
    std::string out;
    for (int64_t i = 0; i < times && size > 0; ++i) check_text_size(std::ssize(out += what.text()));
    return out;
  }
  List out;
  for (int64_t i = 0; i < times && size > 0; ++i) {
    for (const Value& item : what.list()) out.push_back(item);
  }
  return out;
}

Value sum(const Value& a, const Value& b) {
  if (a.is_text() && b.is_text()) {
    check_text_size(std::ssize(a.text()) + std::ssize(b.text()));
    return a.text() + b.text();
  }
  if (!a.is_list() || !b.is_list()) refuse("+", a, b);
  check_list_size(std::ssize(a.list()) + std::ssize(b.list()));
  List out = a.list();
  out.insert(out.end(), b.list().begin(), b.list().end());
  return out;
}

// Python rounds quotients down, and a remainder has the divisor's sign.
int64_t floor_quotient(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

Value integer_power(int64_t base, int64_t exponent) {
  if (exponent < 0) return std::pow(static_cast<double>(base), static_cast<double>(exponent));
  int64_t out = 1;
  for (int64_t i = 0; i < exponent && base != 1; ++i) {
    if (base == 0) return int64_t{0};
    if (base == -1) return int64_t{exponent % 2 == 0 ? 1 : -1};
    if (__builtin_mul_overflow(out, base, &out)) throw Error("'**' makes too large a number");
  }
  return out;
}

Value combine_integers(char sign, bool twice, int64_t a, int64_t b) {
  int64_t out = 0;
  bool overflow = false;
  if ((sign == '/' || sign == '%') && b == 0) throw Error("division by zero");
  if (sign == '/' && !twice) return static_cast<double>(a) / static_cast<double>(b);
  if ((sign == '/' || sign == '%') && b == -1) {  // the one quotient that may not fit
    if (sign == '%') return int64_t{0};
    overflow = __builtin_sub_overflow(int64_t{0}, a, &out);
  } else {
    switch (sign) {
      case '+':
        overflow = __builtin_add_overflow(a, b, &out);
        break;
      case '-':
        overflow = __builtin_sub_overflow(a, b, &out);
        break;
      case '/':
        out = floor_quotient(a, b);
        break;
      case '%':
        out = a - b * floor_quotient(a, b);
        break;
      default:
        if (twice) return integer_power(a, b);
        overflow = __builtin_mul_overflow(a, b, &out);
    }
  }
  if (overflow) throw Error(std::string("'") + sign + "' makes too large a number");
  return out;
}

Value combine_reals(char sign, bool twice, double a, double b) {
  if ((sign == '/' || sign == '%') && b == 0) throw Error("division by zero");
  switch (sign) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '/':
      return twice ? std::floor(a / b) : a / b;
    case '%':
      return a - b * std::floor(a / b);
    default:
      return twice ? std::pow(a, b) : a * b;
  }
}

// A place counted from the start; -1 where it is outside.
int64_t place_of(int64_t index, int64_t size) {
  const int64_t place = index < 0 ? index + size : index;
  return place >= 0 && place < size ? place : -1;
}

bool left_out(const Value& bound) { return bound.is<None>() || bound.is<Undefined>(); }

int64_t bound_or(const Value& bound, int64_t otherwise) {
  if (left_out(bound)) return otherwise;
  if (!bound.is_integer()) throw Error("a slice cannot begin or end at " + kind(bound));
  return bound.integer();
}

// The places that a slice names, by Python's rules.
std::vector<size_t> places_of(int64_t size, const Value& begin, const Value& end,
                              const Value& step) {
  const int64_t stride = bound_or(step, 1);
  if (stride == 0) throw Error("a slice cannot have step 0");
  const bool up = stride > 0;
  const auto clamp = [&](const Value& bound, int64_t otherwise) {
    if (left_out(bound)) return otherwise;
    const int64_t place = bound_or(bound, 0);
    const int64_t from_start = place < 0 ? std::max(place, -size - 1) + size : place;
    return up ? std::clamp<int64_t>(from_start, 0, size)
              : std::clamp<int64_t>(from_start, -1, size - 1);
  };
  const int64_t last = clamp(end, up ? size : -1);
  std::vector<size_t> places;
  for (int64_t at = clamp(begin, up ? 0 : size - 1); up ? at < last : at > last;) {
    places.push_back(static_cast<size_t>(at));
    if (stride > size || stride < -size) break;
    at += stride;
  }
  return places;
}

int64_t character_count(std::string_view text) {
  int64_t count = 0;
  for (size_t at = 0; at < text.size(); at += utf8_char(text, at).length) ++count;
  return count;
}

}  // namespace

void check_text_size(int64_t bytes) {
  if (bytes > kLongestText) throw Error("the text becomes too long");
}

void check_list_size(int64_t items) {
  if (items > kLongestList) throw Error("a list becomes too long");
}

bool equal(const Value& a, const Value& b) { return Equality()(a, b, 0); }

bool less(const Value& a, const Value& b) {
  if (a.is_integer() && b.is_integer()) return a.integer() < b.integer();
  if (a.is_number() && b.is_number()) return a.number() < b.number();
  if (a.is_text() && b.is_text()) return a.text() < b.text();
  if (!a.is_list() || !b.is_list()) refuse("<", a, b);
  return less_lists(a.list(), b.list());
}

bool contains(const Value& all, const Value& part) {
  if (all.is_text() && part.is_text()) return all.text().find(part.text()) != std::string::npos;
  if (all.is_dict()) return part.is_text() && all.dict().find(part.text()) != nullptr;
  if (all.is_list()) {
    return std::ranges::any_of(all.list(), [&](const Value& item) { return equal(item, part); });
  }
  if (all.is<Undefined>()) return false;
  throw Error(kind(all) + " does not contain " + kind(part));
}

bool compare(std::string_view sign, const Value& a, const Value& b) {
  if (sign == "==") return equal(a, b);
  if (sign == "!=") return !equal(a, b);
  if (sign == "<") return less(a, b);
  if (sign == ">") return less(b, a);
  if (sign == "<=") return less(a, b) || equal(a, b);
  if (sign == ">=") return less(b, a) || equal(a, b);
  return contains(b, a) == (sign == "in");
}

Value negative(const Value& value) {
  if (value.is_integer()) return combine("-", int64_t{0}, value);
  if (!value.is_number()) throw Error("'-' before " + kind(value));
  return -value.number();
}

Value combine(std::string_view sign, const Value& a, const Value& b) {
  if (sign == "~") return sum(to_text(a), to_text(b));
  const bool twice = sign.size() == 2;
  if (a.is_integer() && b.is_integer()) {
    return combine_integers(sign[0], twice, a.integer(), b.integer());
  }
  if (a.is_number() && b.is_number()) return combine_reals(sign[0], twice, a.number(), b.number());
  if (sign == "+") return sum(a, b);
  if (sign == "*" && b.is_integer() && (a.is_text() || a.is_list()))
    return repeated(a, b.integer());
  if (sign == "*" && a.is_integer() && (b.is_text() || b.is_list()))
    return repeated(b, a.integer());
  refuse(sign, a, b);
}

Value subscript(const Value& object, const Value& index) {
  if (object.is_dict()) {
    const Value* found = index.is_text() ? object.dict().find(index.text()) : nullptr;
    return found != nullptr ? *found : Undefined{to_text(index)};
  }
  if (object.is_list() && index.is_integer()) {
    const int64_t place = place_of(index.integer(), std::ssize(object.list()));
    if (place >= 0) return object.list()[static_cast<size_t>(place)];
  } else if (object.is_text() && index.is_integer()) {
    const auto all = characters(object.text());
    const int64_t place = place_of(index.integer(), std::ssize(all));
    if (place >= 0) return all[static_cast<size_t>(place)];
  } else if (object.is<Undefined>()) {
    throw Error("'" + object.undefined_name() + "' is undefined");
  }
  return Undefined{"[" + representation(index) + "] of " + kind(object)};
}

Value slice(const Value& object, const Value& begin, const Value& end, const Value& step) {
  if (object.is_list()) {
    List out;
    for (const size_t i : places_of(length(object), begin, end, step)) {
      out.push_back(object.list()[i]);
    }
    return out;
  }
  if (!object.is_text()) throw Error("a slice of " + kind(object));
  const auto all = characters(object.text());
  std::string out;
  for (const size_t i : places_of(std::ssize(all), begin, end, step)) out += all[i];
  return out;
}

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> out;
  for (size_t at = 0; at < text.size(); at += out.back().size()) {
    out.push_back(text.substr(at, utf8_char(text, at).length));
  }
  return out;
}

List elements(const Value& value) {
  List out;
  if (value.is_list()) return value.list();
  if (value.is_dict()) {
    for (const auto& [key, item] : value.dict().items()) out.emplace_back(key);
  } else if (value.is_text()) {
    check_list_size(length(value));
    for (const std::string_view character : characters(value.text())) out.emplace_back(character);
  } else if (!value.is<Undefined>()) {
    throw Error(kind(value) + " cannot be looped over");
  }
  return out;
}

int64_t length(const Value& value) {
  if (value.is_text()) return character_count(value.text());
  if (value.is_list()) return std::ssize(value.list());
  if (value.is_dict()) return std::ssize(value.dict().items());
  if (value.is<Undefined>()) return 0;
  throw Error(kind(value) + " has no length");
}

}  // namespace hone::chat
