// Pages of a mapped model that were used once and are not needed again.
#pragma once

#include "libcommon/io/checkpoint.h"

namespace hone {

// Tells the kernel that these bytes of a mapped tensor may leave memory: without it a model read
// front to back through a mapping counts as resident to its last page. Nothing where not mapped.
void release_mapped(const CheckpointReader& reader, int64_t tensor, int64_t offset, int64_t bytes);

}  // namespace hone
