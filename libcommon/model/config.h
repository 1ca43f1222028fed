// Reads config.json through the rows of an architecture's table (arch/arch.h).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/io/json.h"
#include "libcommon/model/arch/arch.h"

namespace hone {

// The architecture that config.json names. Errors name what is not implemented.
const Architecture& architecture_of(const Json& config, const std::string& subject);

class ConfigValues {
 public:
  // Keeps references to both. subject: for errors, "model: config.json".
  ConfigValues(const Json& config, const Architecture& architecture, std::string subject);

  // Values of a field, from its key or its fallback. Error where the key holds something else.
  int64_t integer(std::string_view field, int64_t least = 1) const;  // least..2^31 where given
  double number(std::string_view field) const;
  bool flag(std::string_view field) const;
  std::string text(std::string_view field) const;

  const Json& config() const { return config_; }
  const std::string& subject() const { return subject_; }

  // Throws for each key that holds a value which is not implemented.
  void refuse_unknown_values() const;

 private:
  const ConfigRow& row(std::string_view field) const;
  std::string_view fallback(const ConfigRow& row) const;
  int64_t evaluate(std::string_view expression, const ConfigRow& row) const;

  const Json& config_;
  const Architecture& architecture_;
  std::string subject_;
};

// What a checkpoint holds, where that is known.
struct StoredNames {
  std::vector<std::string> names;
  std::map<std::string, std::string> aliases;  // alias -> stored name
};
StoredNames names_of(const CheckpointHeader& header);

// spec_from_config, also told which names are aliases.
ModelSpec build_spec(const Json& config, const StoredNames& stored, const std::string& subject);

// A checkpoint's config.json.
Json config_of(const CheckpointHeader& header, const std::string& subject);

}  // namespace hone
