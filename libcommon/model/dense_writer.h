// Expands packed 2:4 matrices on their way to files that other programs load, which know no packed
// form (it was removed from compressed-tensors in 0.15 and from vLLM in 0.19).
#pragma once

#include <memory>

#include "libcommon/io/checkpoint.h"

namespace hone {

// Everything else passes through. An expanded matrix takes the place of the later of its two parts.
std::unique_ptr<CheckpointWriter> expand_sparse(std::unique_ptr<CheckpointWriter> writer,
                                                std::string subject);

}  // namespace hone
