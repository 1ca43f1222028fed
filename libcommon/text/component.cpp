// Typed access to the fields of a component of tokenizer.json.
#include "libcommon/text/component.h"

#include <limits>
#include <utility>

namespace hone {

std::optional<int32_t> small_count(const Json& value) {
  constexpr auto kLimit = static_cast<uint64_t>(std::numeric_limits<int32_t>::max());
  if (!value.is_number_integer()) return std::nullopt;  // true of unsigned ones too
  if (!value.is_number_unsigned() && value.get<int64_t>() < 0) return std::nullopt;
  const auto count = value.get<uint64_t>();
  return count <= kLimit ? std::optional(static_cast<int32_t>(count)) : std::nullopt;
}

Component::Component(const Json& json, std::string kind, std::string subject)
    : json_(json), kind_(std::move(kind)), subject_(std::move(subject)) {
  if (!json.is_object()) throw Error(subject_ + ": " + kind_ + " is not an object");
  const auto type = json.find("type");
  if (type == json.end() || !type->is_string()) {
    throw Error(subject_ + ": " + kind_ + " has no 'type'");
  }
  type_ = type->get<std::string>();
}

const Json* Component::find(const char* key) const {
  const auto found = json_.find(key);
  return found == json_.end() || found->is_null() ? nullptr : &*found;
}

bool Component::flag(const char* key, bool fallback) const {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) throw bad(std::string("'") + key + "' is not a boolean");
  return value->get<bool>();
}

std::string Component::text(const char* key) const {
  const Json* value = find(key);
  if (value == nullptr || !value->is_string()) {
    throw bad(std::string("'") + key + "' is missing or not a string");
  }
  return value->get<std::string>();
}

std::string Component::text(const char* key, const std::string& fallback) const {
  return find(key) == nullptr ? fallback : text(key);
}

int64_t Component::count(const char* key) const {
  const Json* value = find(key);
  const auto count = value == nullptr ? std::nullopt : small_count(*value);
  if (!count) throw bad(std::string("'") + key + "' is missing or not a small count");
  return *count;
}

Pattern Component::pattern(const char* key) const {
  const Json* value = find(key);
  if (value != nullptr && value->is_object() && value->size() == 1 && value->front().is_string()) {
    const auto text = value->front().get<std::string>();
    if (value->contains("Regex")) return Pattern::regex(text, subject_);
    if (value->contains("String") && !text.empty()) return Pattern::literal(text);
  }
  throw bad(std::string("'") + key + R"(' is neither {"String": ...} nor {"Regex": ...})");
}

std::vector<Component> Component::children(const char* key) const {
  const Json* value = find(key);
  if (value == nullptr || !value->is_array()) {
    throw bad(std::string("'") + key + "' is missing or not an array");
  }
  std::vector<Component> out;
  out.reserve(value->size());
  for (const Json& child : *value) out.emplace_back(child, kind_, subject_);
  return out;
}

Error Component::bad(const std::string& what) const {
  return Error(subject_ + ": " + kind_ + " " + type_ + ": " + what);
}

Error Component::not_implemented() const {
  return Error(subject_ + ": " + kind_ + " type '" + type_ + "' is not implemented");
}

}  // namespace hone
