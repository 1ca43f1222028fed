// The reference backend: plain loops in double on one thread. Slow, and the truth for tests.
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace hone {

std::unique_ptr<Backend> open_ref_backend();

}  // namespace hone
