// The face of the folder: one backend by name. The only header here that knows which exist.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.h"

namespace hone {

// "ref" (double loops, the truth for tests), "cpu", "cuda", "cuda:1", or "auto": the first GPU, or
// the CPU, and then *why there is no GPU. threads <= 0: default_threads(). Returns null and sets
// *why when it cannot be had here: "cuda: this build has no CUDA backend".
std::unique_ptr<Backend> open_backend(std::string_view name, int threads, std::string* why);

std::vector<std::string_view> backend_names();

// For programs that convert without a backend (convert.h): the instructions that HONE_CPU asks for,
// for the whole process. False, and *why, if there are none such here.
bool choose_cpu_instructions(std::string* why);

}  // namespace hone
