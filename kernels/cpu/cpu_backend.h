// The CPU backend: threads, and vector code chosen at run time for this machine.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"

namespace hone {

// threads <= 0: default_threads(). The environment variable HONE_CPU (avx3, avx2, sse4, scalar ...)
// limits the instructions that are used. Null, with the reason in *why, if it names none of those
// that this build and machine have, or if the threads cannot be started.
std::unique_ptr<Backend> open_cpu_backend(int threads, std::string* why);

// The same choice for code that is called without a backend. False, with the reason in *why.
bool choose_cpu_level(std::string* why);

}  // namespace hone
