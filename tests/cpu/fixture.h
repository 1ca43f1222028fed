// What the tests of the CPU backend share: every dispatch level of this machine, and products.
#pragma once

#include <cmath>
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
  for (const char* level : {"avx3_amx", "avx3_vnni", "avx3", "avx2", "sse4", "neon", "ppc8", "wasm",
                            "emu128", "scalar"}) {
    if (open_level(level, 1)) here.push_back(level);
  }
  return here;
}

// With AVX-512, the instructions that multiply four bytes, or two BF16, and maybe more.
inline bool has_vnni(const std::string& level) {
  return level == "avx3_vnni" || level == "avx3_amx";
}

struct Level {
  std::string name;
  std::unique_ptr<Backend> backend;
};

inline std::vector<Level> open_levels(int threads) {
  std::vector<Level> here;
  for (const std::string& name : levels()) here.push_back({name, open_level(name, threads)});
  return here;
}

inline std::vector<float> product(Backend& backend, const WeightView& w,
                                  const std::vector<float>& x, int64_t tokens) {
  std::vector<float> out = poisoned(tokens * w.rows);
  backend.run.matmul({.x = x.data(), .weight = w, .out = out.data(), .tokens = tokens});
  return out;
}

// sum_c |x[t, c]| |weight[r, c]| for each [t, r].
inline std::vector<double> dot_magnitudes(const std::vector<float>& x, const StoredMatrix& matrix,
                                          int64_t tokens) {
  const WeightView& w = matrix.view();
  const std::vector<float> weights = matrix.decoded();
  std::vector<double> out(tokens * w.rows);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t r = 0; r < w.rows; ++r) {
      double sum = 0;
      for (int64_t c = 0; c < w.columns; ++c) {
        sum += std::abs(double{x[t * w.columns + c]} * weights[r * w.columns + c]);
      }
      out[t * w.rows + r] = sum;
    }
  }
  return out;
}

}  // namespace hone
