// JSON behind a strict face: nlohmann/json, with duplicate keys refused and depth and size bounded.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace hone {

// Keeps key order: config.json is rewritten as it was read. A member is found by linear search:
// walk over large objects (a vocabulary) once instead of asking for each key.
using Json = nlohmann::ordered_json;

struct JsonLimits {
  size_t bytes = 100'000'000;
  int depth = 64;
};

// Throws Error("SUBJECT: not valid JSON: ... at byte N"; duplicate key 'k'; too deep; not UTF-8).
Json parse_json(std::string_view text, const std::string& subject, JsonLimits limits = {});

// Typed access with the error already worded: "config.json: 'hidden_size' is missing" / "... is
// -3, must be a positive integer".
int64_t require_positive(const Json& object, const std::string& key, const std::string& subject);
std::string require_string(const Json& object, const std::string& key, const std::string& subject);

}  // namespace hone
