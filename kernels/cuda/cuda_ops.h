// What the ops of the CUDA backend share: their context and its scratch memory. The same sources
// are compiled by nvcc for the plug-in and by any C++20 compiler, over the emulator of
// kernels/simt, for tests without a GPU.
#pragma once

#include <array>
#include <memory>

#include "kernels/backend.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/scratch.h"
#include "kernels/simt/device.h"

namespace hone::cuda {

struct Context {
  DeviceInfo device;
  simt::Stream stream;
  bool exact = false;                 // no product rounds activations
  Scratch scratch;                    // partial results; free for each op from its start to its end
  Scratch rounded;                    // products: tokens rounded to int8 or fp8
  Scratch factor;                     // gated products of unlike matrices: one of the factors
  Scratch dense;                      // many tokens: 2:4 matrices made dense
  Scratch input;                      // gemm: activations converted to 16 bits
  Scratch weight;                     // gemm: a matrix decoded to 16 bits
  Scratch counters;                   // of last-block reductions: zero before and after each kernel
  std::array<Scratch*, 7> scratches() {
    return {&scratch, &rounded, &factor, &dense, &input, &weight, &counters};
  }
  std::unique_ptr<GemmLibrary> gemm;  // null where there is none: own kernels do all products
};

// BackendContext is an opaque name to callers; here it is this backend's Context.
inline Context& own(BackendContext& context) { return reinterpret_cast<Context&>(context); }

#define X(name, Args) void name(BackendContext&, const Args&);
FOR_EACH_OP(X)
#undef X

}  // namespace hone::cuda
