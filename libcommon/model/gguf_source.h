// A GGUF file as an ordinary checkpoint: Hugging Face's names, layouts and side files. Keys and
// names are mapped by gguf_map.h; rows are moved as they are read.
#pragma once

#include <memory>

#include "libcommon/io/gguf.h"

namespace hone {

// Tensors keep the file's order. Errors name what the GGUF file has that cannot be expressed.
std::unique_ptr<CheckpointReader> open_gguf_model(std::unique_ptr<GgufReader> reader);

}  // namespace hone
