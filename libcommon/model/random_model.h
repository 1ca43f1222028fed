// Models with random weights of a known shape, made as they are read and never kept: anyone can
// measure speed and memory without a download.
#pragma once

#include <memory>
#include <string>

#include "libcommon/io/checkpoint.h"

namespace hone {

bool is_random_model(const std::string& where);  // starts with "random:"

// "random:SHAPE?seed=N&dtype=bf16|f16|f32"; SHAPE: a name or a path to a config.json. Errors:
// usage.
std::unique_ptr<CheckpointReader> open_random_model(const std::string& where);

}  // namespace hone
