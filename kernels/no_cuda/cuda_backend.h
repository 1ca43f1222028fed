// The CUDA backend of a build without CUDA.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"

namespace hone {

// Always null; says why.
std::unique_ptr<Backend> open_cuda_backend(std::string* why);

}  // namespace hone
