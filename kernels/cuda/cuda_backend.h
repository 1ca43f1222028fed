// The CUDA backend of one device; built into the plug-in, and for tests over the emulator.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"

namespace hone {

// Null, and *why, where there is no such device.
std::unique_ptr<Backend> open_cuda_device(int index, std::string* why);

}  // namespace hone
