// The post-processor of tokenizer.json, for one text (pairs of texts are not encoded here): special
// ids before and after.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libcommon/io/json.h"

namespace hone {

struct PostProcessor {
  std::vector<int32_t> before, after;

  // json: 'post_processor', may be null. Throws Error for what is not implemented.
  static PostProcessor from_json(const Json& json, const std::string& subject);
};

}  // namespace hone
