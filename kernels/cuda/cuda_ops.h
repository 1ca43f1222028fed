// What the ops of the CUDA backend share: their context and its scratch memory. The same sources
// are compiled by nvcc for the plug-in and by any C++20 compiler, over the emulator of
// kernels/simt, for tests without a GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/runtime.h"
#include "kernels/simt/device.h"

namespace hone::cuda {

// Memory that kernels of one op hand to each other. What was given out stays valid until the
// backend closes, because recorded steps (runtime.h) keep its address: a larger request leaves the
// smaller block behind.
class Scratch {
 public:
  // At least so many bytes, 256-byte aligned, contents undefined; the same memory for each call
  // that fits. Zeroed when first given out.
  std::byte* reserve(size_t bytes);
  explicit Scratch(const simt::Stream& stream) : stream_(stream) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();

 private:
  const simt::Stream& stream_;
  std::vector<std::byte*> blocks_;
  size_t bytes_ = 0;
};

struct Loader;  // weights.cpp

struct Context {
  DeviceInfo device;
  simt::Stream stream;
  bool exact = false;                 // no product rounds activations
  Scratch scratch{stream};            // partial results; free for each op from its start to its end
  Scratch rounded{stream};            // products: tokens rounded to int8 or fp8
  Scratch factor{stream};             // gated products of unlike matrices: one of the factors
  Scratch dense{stream};              // many tokens: 2:4 matrices made dense
  Scratch input{stream};              // gemm: activations converted to 16 bits
  Scratch weight{stream};             // gemm: a matrix decoded to 16 bits
  Scratch counters{stream};           // of last-block reductions: zero before and after each kernel
  std::unique_ptr<GemmLibrary> gemm;  // null where there is none: own kernels do all products
  std::shared_ptr<Loader> loader;     // null before the first place()
};

// BackendContext is an opaque name to callers; here it is this backend's Context.
inline Context& own(BackendContext& context) { return reinterpret_cast<Context&>(context); }

#define X(name, Args) void name(BackendContext&, const Args&);
FOR_EACH_OP(X)
#undef X

}  // namespace hone::cuda
