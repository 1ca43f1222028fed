// Opens the CUDA backend's plug-in, which lies beside libhone.so: a machine without a driver, or
// without the toolkit's libraries, never loads it.
#include <cstdlib>

#include "kernels/cuda/plugin.h"
#include "kernels/open_cuda.h"
#include "kernels/shared_library.h"

namespace hone {
namespace {

constexpr const char* kFile = "libhone-cuda.so";

// Looking for the driver first is cheap; the plug-in brings libraries of hundreds of megabytes.
bool has_driver() { return dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL) != nullptr; }

const CudaPlugin* load(std::string* why) {
  // Another plug-in: tests run the backend's kernels on an emulator, which needs no driver.
  const char* const chosen = std::getenv("HONE_CUDA_PLUGIN");
  if (!chosen && !has_driver()) {
    *why = "cuda: no NVIDIA driver here (" + library_fault() + ")";
    return nullptr;
  }
  const std::string path = chosen ? chosen : library_folder() + kFile;
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    *why = "cuda: " + library_fault() + "; are the CUDA toolkit's libraries installed?";
    return nullptr;
  }
  const auto entry = reinterpret_cast<CudaPluginEntry*>(dlsym(library, kCudaPluginEntry));
  if (!entry) {
    *why = std::string("cuda: ") + kFile + " has no " + kCudaPluginEntry + "; not hone's plug-in?";
    return nullptr;
  }
  const CudaPlugin* const plugin = entry();
  if (plugin->ops_bytes != sizeof(OpTable) || plugin->version != kCudaPluginVersion) {
    *why = std::string("cuda: ") + kFile + " is of another version of hone; install both again";
    return nullptr;
  }
  return plugin;
}

}  // namespace

// The plug-in stays open: its code runs as long as the backend lives.
std::unique_ptr<Backend> open_cuda_backend(int index, std::string* why) {
  const CudaPlugin* const plugin = load(why);
  return plugin ? plugin->open(index, why) : nullptr;
}

}  // namespace hone
