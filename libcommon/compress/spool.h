// Random access to a model that comes through a pipe, for decisions that need all weights before
// the first is written: the tensors are laid in an unlinked temporary file ($HONE_TMPDIR, $TMPDIR,
// /tmp), which vanishes with the process.
#pragma once

#include <memory>

#include "libcommon/io/checkpoint.h"

namespace hone {

// `reader` itself where it already offers random access. Errors: exit 4 when the disk is too small
// (checked before the first byte).
std::unique_ptr<CheckpointReader> with_random_access(std::unique_ptr<CheckpointReader> reader);

}  // namespace hone
