#include "kernels/cuda/faults.h"

#include <cstdio>

namespace hone::cuda {
namespace {

constexpr int kLeastArchitecture = 80;  // bf16 and cp.async came with it

// Of 12080 "12.8".
std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string capability_text(int architecture) {
  return "compute capability " + std::to_string(architecture / 10) + "." +
         std::to_string(architecture % 10);
}

std::string bytes_text(size_t bytes) {
  constexpr double kMebi = 1 << 20, kGibi = 1 << 30;
  const auto count = static_cast<double>(bytes);
  char text[32];
  std::snprintf(text, sizeof text, count < kGibi ? "%.1f MiB" : "%.2f GiB",
                count / (count < kGibi ? kMebi : kGibi));
  return text;
}

}  // namespace

std::string no_device(const DriverState& state, int index) {
  if (state.too_old && state.driver > 0) {
    return "cuda: the NVIDIA driver knows CUDA up to " + version_text(state.driver) +
           ", hone was built with " + version_text(state.runtime) +
           "; update the driver, or build hone with an older toolkit";
  }
  std::string hidden;
  if (state.visible) hidden = "; CUDA_VISIBLE_DEVICES is '" + *state.visible + "'";
  if (!state.error.empty()) return "cuda: no NVIDIA device here (" + state.error + ")" + hidden;
  if (index >= 0 && index < state.devices) return "";
  return "cuda: no device " + std::to_string(index) + "; there are " +
         std::to_string(state.devices) + hidden;
}

std::string no_kernels(const DeviceInfo& device) {
  if (device.architecture >= kLeastArchitecture) return "";
  return "cuda: " + device.name + " has " + capability_text(device.architecture) +
         "; hone's kernels need " + std::to_string(kLeastArchitecture / 10) + "." +
         std::to_string(kLeastArchitecture % 10) + " or later";
}

std::string unusable(const DeviceInfo& device, const std::string& fault) {
  if (device.name.empty()) return fault + " (device " + std::to_string(device.index) + ")";
  return fault + " (" + device.name + ", " + capability_text(device.architecture) + ")";
}

std::string out_of_memory(size_t asked, size_t free) {
  return "cuda: out of device memory: " + bytes_text(asked) + " asked for, " + bytes_text(free) +
         " free; does another program use the GPU?";
}

}  // namespace hone::cuda
