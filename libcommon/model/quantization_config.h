// config.json's quantization_config (https://github.com/vllm-project/compressed-tensors), parsed
// once. Groups of modules share a scheme; a module belongs to the group that names it exactly, else
// by regular expression ("re:..."), else by its class ("Linear", "Embedding").
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libcommon/model/weights.h"

namespace hone {

enum class ModuleClass : uint8_t { kLinear, kEmbedding };

class QuantizationConfig {
 public:
  // Other methods and schemes are refused by name. No quantization_config: no groups.
  QuantizationConfig(const Json& config, const std::string& subject);

  std::optional<QuantizedFormat> find(const std::string& module, ModuleClass kind) const;

 private:
  struct Group {
    std::vector<std::string> targets;
    QuantizedFormat format;
  };
  void read_group(const Json& group, const std::string& format, const std::string& name);

  std::string subject_;
  std::vector<Group> groups_;
  std::vector<std::string> ignore_;
};

}  // namespace hone
