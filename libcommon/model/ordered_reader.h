// Puts a checkpoint's tensors into execution order and leaves out those that are not part of the
// model.
#pragma once

#include <memory>

#include "libcommon/io/checkpoint.h"

namespace hone {

// Returns the reader itself where nothing changes. A pipe in another order is first spooled to an
// unlinked file in $HONE_TMPDIR, $TMPDIR or /tmp; no room there: exit 4 before the first byte.
// Errors: all of spec_from_checkpoint.
std::unique_ptr<CheckpointReader> in_execution_order(std::unique_ptr<CheckpointReader> reader);

// All of `reader`, spooled: header and trailer as they were, tensors mapped.
std::unique_ptr<CheckpointReader> spool(std::unique_ptr<CheckpointReader> reader);

}  // namespace hone
