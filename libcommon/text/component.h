// Reading the components of tokenizer.json: typed fields with the error already worded, and the
// refusal of what is not implemented. A Component knows its place, for messages:
//   "model: tokenizer.json: pre_tokenizer type 'X' is not implemented"
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/base/error.h"
#include "libcommon/io/json.h"
#include "libcommon/text/regex.h"

namespace hone {

// A number that can be an id or a count: 0 ... 2^31 - 1; nullopt for anything else.
std::optional<int32_t> small_count(const Json& value);

class Component {
 public:
  // kind: "normalizer", "pre_tokenizer", ...; subject: "MODEL: tokenizer.json". The JSON must
  // outlive the component.
  Component(const Json& json, std::string kind, std::string subject);

  const std::string& type() const { return type_; }
  const std::string& subject() const { return subject_; }
  const Json& json() const { return json_; }

  // Missing or null takes the fallback; another JSON type is an Error.
  bool flag(const char* key, bool fallback) const;
  std::string text(const char* key) const;  // must be there
  std::string text(const char* key, const std::string& fallback) const;
  int64_t count(const char* key) const;  // 0 ... 2^31 - 1, must be there
  Pattern pattern(const char* key) const;

  // The components in an array field, as in a Sequence.
  std::vector<Component> children(const char* key) const;

  Error bad(const std::string& what) const;  // "SUBJECT: KIND TYPE: what"
  Error not_implemented() const;             // "SUBJECT: KIND type 'TYPE' is not implemented"

 private:
  const Json* find(const char* key) const;  // null where missing or null
  const Json& json_;
  std::string kind_, subject_, type_;
};

}  // namespace hone
