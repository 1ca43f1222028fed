// What the backend says of a device, or a driver, that does not serve.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "kernels/cuda/runtime.h"

namespace hone::cuda {

// What the driver says of this machine.
struct DriverState {
  int devices = 0;
  std::string error = {};       // of asking for them; "": none
  bool too_old = false;         // the error: the driver is, for the toolkit hone was built with
  int driver = 0, runtime = 0;  // versions of CUDA, 12080 for 12.8; driver 0: there is none
  // CUDA_VISIBLE_DEVICES, which hides the others, where it is set.
  std::optional<std::string> visible = {};
};

// Why there is no device `index`: "cuda: no device 3; there are 2". "" where there is.
std::string no_device(const DriverState& state, int index);
// Why hone has no kernels for a device. "" where it has.
std::string no_kernels(const DeviceInfo& device);
// Of a device that is there, but failed as it was opened.
std::string unusable(const DeviceInfo& device, const std::string& fault);
// "cuda: out of device memory: 1.20 GiB asked for, 0.40 GiB free; does another program use the
// GPU?"
std::string out_of_memory(size_t asked, size_t free);

}  // namespace hone::cuda
