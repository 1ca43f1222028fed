#include "kernels/cuda/plugin.h"

#include "kernels/cuda/cuda_backend.h"

extern "C" __attribute__((visibility("default"))) const hone::CudaPlugin* hone_cuda_plugin() {
  static constexpr hone::CudaPlugin kPlugin = {
      .version = hone::kCudaPluginVersion,
      .ops_bytes = sizeof(hone::OpTable),
      .open = &hone::open_cuda_device,
  };
  return &kPlugin;
}
