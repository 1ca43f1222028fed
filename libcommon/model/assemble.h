// Gives each loaded tensor its place in LoadedModel: views of matrices, pointers to vectors, the
// parts of a fused q, k, v.
#pragma once

#include <cstddef>
#include <span>

#include "libcommon/model/load_plan.h"
#include "libcommon/model/weights.h"

namespace hone {

// data: of each tensor of the header, null where nothing was kept. model.spec is that of the plan.
void assemble(LoadedModel& model, const LoadPlan& plan, std::span<const std::byte* const> data);

}  // namespace hone
