// config.json's quantization_config as compressed-tensors reads it.
#pragma once

#include <string>
#include <vector>

#include "libcommon/io/json.h"
#include "libcommon/quant/scheme.h"

namespace hone {

// A module ("model.layers.0.mlp.up_proj") and what its weight is now.
struct QuantizedModule {
  std::string module;
  Scheme scheme;           // scaled(): quantized; otherwise it is listed as ignored
  bool embedding = false;  // of class Embedding, not Linear
};

// The object, or null where nothing is quantized. Modules of the scheme that most have are targeted
// as "Linear", the others and embeddings by name; every module that stays plain is listed in
// "ignore". always_ignored: modules that exist although no tensor says so (a tied head).
Json quantization_config(const std::vector<QuantizedModule>& modules,
                         const std::vector<std::string>& always_ignored);

// "pack-quantized", "int-quantized", "float-quantized".
std::string format_name(const Scheme& scheme);

}  // namespace hone
