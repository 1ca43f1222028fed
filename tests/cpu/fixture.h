// What the tests of the CPU backend share: every dispatch level of this machine.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "kernels/open.h"
#include "tests/support/matrices.h"

namespace hone {

inline std::unique_ptr<Backend> open_level(const std::string& level, int threads) {
  setenv("HONE_CPU", level.c_str(), 1);
  std::string why;
  auto backend = open_backend("cpu", threads, &why);
  unsetenv("HONE_CPU");
  return backend;
}

// Those of Highway's targets that this build and machine have.
inline std::vector<std::string> levels() {
  std::vector<std::string> here;
  for (const char* level :
       {"avx3_vnni", "avx3", "avx2", "sse4", "neon", "ppc8", "wasm", "emu128", "scalar"}) {
    if (open_level(level, 1)) here.push_back(level);
  }
  return here;
}

}  // namespace hone
