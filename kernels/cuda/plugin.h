// What libhone-cuda.so shows: one C function that returns this.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "kernels/backend.h"

namespace hone {

struct CudaPlugin {
  std::string_view version;
  size_t ops_bytes;  // sizeof(OpTable): ops were added or not
  std::unique_ptr<Backend> (*open)(int index, std::string* why);
};
using CudaPluginEntry = const CudaPlugin*();

inline constexpr const char* kCudaPluginEntry = "hone_cuda_plugin";
inline constexpr std::string_view kCudaPluginVersion = HONE_VERSION;

}  // namespace hone
