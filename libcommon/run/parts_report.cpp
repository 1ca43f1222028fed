#include "libcommon/run/parts_report.h"

#include "libcommon/base/log.h"

namespace hone {

Json parts_json(std::span<const SessionPart> parts) {
  Json all = Json::array();
  for (const SessionPart& part : parts) {
    all.push_back({{"backend", part.backend},
                   {"backend_detail", part.detail},
                   {"first_layer", part.layers.first},
                   {"layers", part.layers.count},
                   {"weight_bytes", part.weights},
                   {"kv_bytes_limit", part.cache_limit}});
  }
  return all;
}

std::string part_text(const Json& part) {
  const auto first = part["first_layer"].get<int64_t>();
  const int64_t last = first + part["layers"].get<int64_t>() - 1;
  return "layers " + std::to_string(first) + " to " + std::to_string(last) + " on " +
         part["backend"].get<std::string>() + ": weights " +
         human_bytes(part["weight_bytes"].get<double>()) + ", keys and values up to " +
         human_bytes(part["kv_bytes_limit"].get<double>());
}

std::string turns_text(std::span<const SessionPart> parts) {
  const std::string& first = parts.front().backend;
  const std::string& last = parts.back().backend;
  return first + " and " + last + " work in turns: a step starts on " + first + " when " + last +
         " has drawn the tokens of the one before";
}

}  // namespace hone
