// The strict layer: a SAX handler that builds the document itself, because nlohmann's own builder
// keeps the last of two equal keys, has no depth limit, and on an ordered_json looks up every new
// key by linear search (a tokenizer's 250 000 entries would take minutes).
#include "libcommon/io/json.h"

#include <unordered_set>
#include <vector>

#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"

namespace hone {
namespace {

class StrictBuilder : public nlohmann::json_sax<Json> {
 public:
  StrictBuilder(const std::string& subject, int depth) : subject_(subject), depth_(depth) {}

  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  // Integers beyond 64 bits arrive here too: tokenizer_config.json writes int(1e30) for "no limit".
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return fail("binary value"); }

  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& value) override {
    Level& level = levels_.back();
    if (!level.keys.insert(value).second) fail("duplicate key " + quote_name(value));
    level.key = std::move(value);
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    return fail(reason(error.what()) + " at byte " + std::to_string(position));
  }

 private:
  struct Level {
    Json* value;
    std::string key = {};
    std::unordered_set<std::string> keys = {};
  };

  [[noreturn]] bool fail(const std::string& what) const {
    throw Error(subject_ + ": not valid JSON: " + what);
  }

  // "[json...] parse error at line 1, column 5: syntax error while parsing value - invalid literal;
  // last read: '...'" without its frame; what was read last may be long and binary.
  static std::string reason(std::string text) {
    const size_t frame = text.find("syntax error");
    if (frame != std::string::npos) {
      text.erase(0, frame);
    } else if (text.find("out_of_range") != std::string::npos) {
      text = "number out of range";
    }
    const size_t read = text.find("; last read");
    if (read != std::string::npos) {
      const size_t expected = text.find("; expected", read);
      text = text.substr(0, read) + (expected == std::string::npos ? "" : text.substr(expected));
    }
    return text;
  }

  Json* place(Json value) {
    if (levels_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Level& level = levels_.back();
    if (level.value->is_array()) {
      auto& array = level.value->get_ref<Json::array_t&>();
      return &array.emplace_back(std::move(value));
    }
    auto& object = level.value->get_ref<Json::object_t&>();
    return &object.emplace_back(std::move(level.key), std::move(value)).second;
  }

  bool add(Json value) {
    place(std::move(value));
    return true;
  }

  bool open(Json container) {
    if (static_cast<int>(levels_.size()) >= depth_) {
      fail("nested deeper than " + std::to_string(depth_) + " levels");
    }
    levels_.push_back({place(std::move(container))});
    return true;
  }

  bool close() {
    levels_.pop_back();
    return true;
  }

  const std::string& subject_;
  int depth_;
  Json root_;
  std::vector<Level> levels_;
};

std::string as_text(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 60);
}

const Json& require(const Json& object, const std::string& key, const std::string& subject) {
  if (!object.is_object()) throw Error(subject + ": not a JSON object");
  const auto found = object.find(key);
  if (found == object.end()) throw Error(subject + ": " + quote_name(key) + " is missing");
  return *found;
}

}  // namespace

Json parse_json(std::string_view text, const std::string& subject, JsonLimits limits) {
  if (text.size() > limits.bytes) {
    throw Error(subject + ": JSON of " + std::to_string(text.size()) + " bytes, at most " +
                std::to_string(limits.bytes) + " are read");
  }
  // nlohmann takes a NUL for the end of the text and would pass over whatever follows it.
  const size_t nul = text.find('\0');
  if (nul != std::string_view::npos) {
    throw Error(subject + ": not valid JSON: NUL at byte " + std::to_string(nul));
  }
  StrictBuilder builder(subject, limits.depth);
  Json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

int64_t require_positive(const Json& object, const std::string& key, const std::string& subject) {
  const Json& value = require(object, key, subject);
  const bool fits =
      value.is_number_unsigned() ? value.get<uint64_t>() <= INT64_MAX : value.is_number_integer();
  if (!fits || value.get<int64_t>() <= 0) {
    throw Error(subject + ": " + quote_name(key) + " is " + as_text(value) +
                ", must be a positive integer");
  }
  return value.get<int64_t>();
}

std::string require_string(const Json& object, const std::string& key, const std::string& subject) {
  const Json& value = require(object, key, subject);
  if (!value.is_string()) {
    throw Error(subject + ": " + quote_name(key) + " is " + as_text(value) + ", must be a string");
  }
  return value.get<std::string>();
}

}  // namespace hone
