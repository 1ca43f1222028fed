// Typed access to GGUF's keys.
#include <climits>

#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"
#include "libcommon/io/gguf_types.h"

namespace hone {
namespace {

const GgufValue& require(const GgufKeys& keys, std::string_view key, const std::string& subject) {
  const GgufValue* value = keys.find(key);
  if (!value) throw Error(subject + ": key " + quote_name(key) + " is missing");
  return *value;
}

Error mistyped(std::string_view key, const GgufValue& value, const char* wanted,
               const std::string& subject) {
  // The variant's order is the one of the ids, but for string and array.
  static constexpr int32_t kTypes[] = {gguf::kUint8,  gguf::kInt8,   gguf::kUint16,  gguf::kInt16,
                                       gguf::kUint32, gguf::kInt32,  gguf::kFloat32, gguf::kBool,
                                       gguf::kString, gguf::kUint64, gguf::kInt64,   gguf::kFloat64,
                                       gguf::kArray};
  static_assert(std::size(kTypes) == std::variant_size_v<GgufValue>);
  return Error(subject + ": key " + quote_name(key) + " is of type " +
               gguf::value_type_name(kTypes[value.index()]) + ", expected " + wanted);
}

}  // namespace

const GgufValue* GgufKeys::find(std::string_view key) const {
  for (const auto& [name, value] : entries) {
    if (name == key) return &value;
  }
  return nullptr;
}

int64_t GgufKeys::integer(std::string_view key, const std::string& subject) const {
  const GgufValue& value = require(*this, key, subject);
  return std::visit(
      [&](const auto& held) -> int64_t {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
          if (std::is_same_v<T, uint64_t> && static_cast<uint64_t>(held) > INT64_MAX) {
            throw Error(subject + ": key " + quote_name(key) + " is " + std::to_string(held) +
                        ", larger than any count");
          }
          return static_cast<int64_t>(held);
        } else {
          throw mistyped(key, value, "an integer", subject);
        }
      },
      value);
}

double GgufKeys::number(std::string_view key, const std::string& subject) const {
  const GgufValue& value = require(*this, key, subject);
  return std::visit(
      [&](const auto& held) -> double {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
          return static_cast<double>(held);
        } else {
          throw mistyped(key, value, "a number", subject);
        }
      },
      value);
}

std::string GgufKeys::string(std::string_view key, const std::string& subject) const {
  const GgufValue& value = require(*this, key, subject);
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  throw mistyped(key, value, "a string", subject);
}

}  // namespace hone
