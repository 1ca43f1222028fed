// Backends by name.
#include "kernels/open.h"

#include <charconv>
#include <optional>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/open_cuda.h"
#include "kernels/ref/ref_backend.h"

namespace hone {
namespace {

// "cuda" or "cuda:N"; nothing for another name.
std::optional<int> cuda_index(std::string_view name) {
  constexpr std::string_view kCuda = "cuda";
  if (name == kCuda) return 0;
  if (name.substr(0, kCuda.size() + 1) != "cuda:") return std::nullopt;
  name.remove_prefix(kCuda.size() + 1);
  int index = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index);
  if (error != std::errc() || end != name.data() + name.size() || index < 0) return std::nullopt;
  return index;
}

}  // namespace

std::vector<std::string_view> backend_names() { return {"ref", "cpu", "cuda"}; }

bool choose_cpu_instructions(std::string* why) { return choose_cpu_level(why); }

std::unique_ptr<Backend> open_backend(std::string_view name, int threads, std::string* why) {
  if (name == "ref") return open_ref_backend();
  if (name == "cpu") return open_cpu_backend(threads, why);
  if (name == "auto") {
    std::unique_ptr<Backend> gpu = open_cuda_backend(0, why);
    return gpu ? std::move(gpu) : open_cpu_backend(threads, why);
  }
  if (const std::optional<int> index = cuda_index(name)) return open_cuda_backend(*index, why);
  std::string known = "auto";
  for (const std::string_view each : backend_names()) known.append(", ").append(each);
  *why = "device '" + std::string(name) + "' is not known; known: " + known + ", cuda:N";
  return nullptr;
}

}  // namespace hone
