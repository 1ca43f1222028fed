// Where an access was made, in 64 bits: what a checker keeps for each byte.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/simt/check.h"

namespace hone::simt::emu::check {

// An address of code, or a source line (its file name's address below its number).
using Site = uint64_t;
inline Site site_of(void* pc) { return reinterpret_cast<uint64_t>(pc); }
inline Site site_of(Where at) {
  return reinterpret_cast<uint64_t>(at.file) | static_cast<uint64_t>(at.line) << 48;
}

// "gemm.cu:30"; of code, the lines of the functions inlined there, from the innermost outwards.
std::string name(Site site);

}  // namespace hone::simt::emu::check
