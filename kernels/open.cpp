// Backends by name.
#include "kernels/open.h"

#include "kernels/cpu/cpu_backend.h"
#include "kernels/no_cuda/cuda_backend.h"
#include "kernels/ref/ref_backend.h"

namespace hone {

std::vector<std::string_view> backend_names() { return {"ref", "cpu", "cuda"}; }

std::unique_ptr<Backend> open_backend(std::string_view name, int threads, std::string* why) {
  if (name == "ref") return open_ref_backend();
  if (name == "cpu" || name == "auto") return open_cpu_backend(threads, why);
  if (name == "cuda") return open_cuda_backend(why);
  std::string known = "auto";
  for (const std::string_view each : backend_names()) known.append(", ").append(each);
  *why = "device '" + std::string(name) + "' is not known; known: " + known;
  return nullptr;
}

}  // namespace hone
