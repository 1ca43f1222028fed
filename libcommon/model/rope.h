// Rotary positions (Su et al., RoFormer, arXiv:2104.09864) and their five ways to longer contexts,
// as config.json describes them and transformers computes them (modeling_rope_utils.py).
#pragma once

#include <string>

#include "libcommon/io/json.h"
#include "libcommon/model/spec.h"

namespace hone {

struct RopeDimensions {
  int64_t head_dim;
  int64_t context;  // max_position_embeddings
};

// From rope_theta + rope_scaling (transformers 4) or rope_parameters (5). A rope_type or key that
// is not implemented is refused by name.
RopeSpec rope_from_config(const Json& config, const RopeDimensions& dimensions,
                          const std::string& subject);

}  // namespace hone
