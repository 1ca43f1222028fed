// The values that chat templates compute with: those of Python, as far as Jinja templates meet
// them. Lists, dicts and functions are shared by reference; strings never change.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "libcommon/io/json.h"

namespace hone::chat {

class Value;
struct Arguments;
using List = std::vector<Value>;
using Function = std::function<Value(const Arguments&)>;

// Keys in the order in which they came.
class Dict {
 public:
  const Value* find(std::string_view key) const;  // nullptr: no such key
  void set(const std::string& key, Value value);
  void clear() { items_.clear(); }
  const std::vector<std::pair<std::string, Value>>& items() const { return items_; }

 private:
  std::vector<std::pair<std::string, Value>> items_;
};

// What a name or key that is not there gives: empty as text, false, and an error when it is used.
struct Undefined {
  std::string name;
};
struct None {};

// Ends what it holds after what held it, so that deep nesting takes no stack.
void release_in_turn(std::shared_ptr<void> object);
template <typename T>
std::shared_ptr<T> shared(T value) {
  return {new T(std::move(value)),
          [](T* object) { release_in_turn(std::shared_ptr<void>(std::unique_ptr<T>(object))); }};
}

class Value {
 public:
  using Storage =
      std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const std::string>,
                   std::shared_ptr<List>, std::shared_ptr<Dict>, std::shared_ptr<const Function>>;

  Value() : storage_(Undefined{}) {}
  Value(Undefined undefined) : storage_(std::move(undefined)) {}
  Value(None none) : storage_(none) {}
  Value(bool truth) : storage_(truth) {}
  Value(int64_t number) : storage_(number) {}
  Value(double number) : storage_(number) {}
  Value(std::string text) : storage_(std::make_shared<const std::string>(std::move(text))) {}
  Value(std::string_view text) : Value(std::string(text)) {}
  Value(const char* text) : Value(std::string(text)) {}
  Value(List list) : storage_(shared(std::move(list))) {}
  Value(Dict dict) : storage_(shared(std::move(dict))) {}
  Value(Function function) : storage_(std::make_shared<const Function>(std::move(function))) {}

  template <typename T>
  bool is() const {
    return std::holds_alternative<T>(storage_);
  }
  bool is_text() const { return is<std::shared_ptr<const std::string>>(); }
  bool is_list() const { return is<std::shared_ptr<List>>(); }
  bool is_dict() const { return is<std::shared_ptr<Dict>>(); }
  bool is_function() const { return is<std::shared_ptr<const Function>>(); }
  bool is_integer() const { return is<int64_t>() || is<bool>(); }  // True is 1, as in Python
  bool is_number() const { return is_integer() || is<double>(); }

  // The value of that kind; anything else is an error of the program.
  const std::string& text() const {
    return *std::get<std::shared_ptr<const std::string>>(storage_);
  }
  List& list() const { return *std::get<std::shared_ptr<List>>(storage_); }
  Dict& dict() const { return *shared_dict(); }
  const std::shared_ptr<Dict>& shared_dict() const {
    return std::get<std::shared_ptr<Dict>>(storage_);
  }
  const Function& function() const { return *std::get<std::shared_ptr<const Function>>(storage_); }
  const std::string& undefined_name() const { return std::get<Undefined>(storage_).name; }
  int64_t integer() const {
    return is<bool>() ? std::get<bool>(storage_) : std::get<int64_t>(storage_);
  }
  double number() const {
    return is<double>() ? std::get<double>(storage_) : static_cast<double>(integer());
  }

 private:
  Storage storage_;
};

// What a function, filter, test or method is called with.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  // The argument at a place or of that name; nullptr where it is not given.
  const Value* find(size_t place, std::string_view name) const;
  Value get(size_t place, std::string_view name, Value otherwise) const;
};

bool truth(const Value& value);
// "a string", "a list" ...: for messages.
std::string kind(const Value& value);

// As Python's str() and repr(). Throw Error for values nested deeper than kDeepest.
constexpr int kDeepest = 64;
std::string to_text(const Value& value);
std::string representation(const Value& value);

// As json.dumps(ensure_ascii=False); indent < 0: on one line.
struct JsonStyle {
  int64_t indent = -1;
  std::string item = ", ";
  std::string key = ": ";
  bool sorted = false;
};
std::string to_json(const Value& value, const JsonStyle& style);
Value from_json(const Json& json);

}  // namespace hone::chat
