// The CUDA backend, where this build and this machine have one: cuda_plugin/ opens the plug-in
// libhone-cuda.so, no_cuda/ stands in for it in a build without CUDA. Programs never link CUDA.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"

namespace hone {

// Device `index`. Null, and *why in one sentence, where it cannot be had.
std::unique_ptr<Backend> open_cuda_backend(int index, std::string* why);

}  // namespace hone
