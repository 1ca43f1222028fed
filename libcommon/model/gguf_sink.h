// Writes a checkpoint as GGUF: names, layouts and keys as llama.cpp's converter makes them.
#pragma once

#include <memory>
#include <string>

#include "libcommon/io/checkpoint.h"

namespace hone {

std::unique_ptr<CheckpointWriter> create_gguf_model(const std::string& where,
                                                    const SinkOptions& options);

}  // namespace hone
