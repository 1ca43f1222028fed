// Opens the CUDA backend's plug-in, which lies beside libhone.so: a machine without a driver, or
// without the toolkit's libraries, never loads it.
#include <dlfcn.h>

#include <cstdlib>

#include "kernels/cuda/plugin.h"
#include "kernels/open_cuda.h"

namespace hone {
namespace {

constexpr const char* kFile = "libhone-cuda.so";

// The folder of the library (or program) that holds this function, with its slash.
std::string own_folder() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<const void*>(&open_cuda_backend), &info) || !info.dli_fname) {
    return "";
  }
  const std::string path = info.dli_fname;
  return path.substr(0, path.rfind('/') + 1);
}

std::string dl_error() {
  const char* const text = dlerror();
  return text ? text : "unknown error";
}

// Looking for the driver first is cheap; the plug-in brings libraries of hundreds of megabytes.
bool has_driver() { return dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL) != nullptr; }

const CudaPlugin* load(std::string* why) {
  // Another plug-in: tests run the backend's kernels on an emulator, which needs no driver.
  const char* const chosen = std::getenv("HONE_CUDA_PLUGIN");
  if (!chosen && !has_driver()) {
    *why = "cuda: no NVIDIA driver here (" + dl_error() + ")";
    return nullptr;
  }
  const std::string path = chosen ? chosen : own_folder() + kFile;
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    *why = "cuda: " + dl_error() + "; are the CUDA toolkit's libraries installed?";
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
