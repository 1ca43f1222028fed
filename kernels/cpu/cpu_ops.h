// What the ops of the CPU backend share: their context, and how a version of each is chosen.
#pragma once

#include <vector>

#include "kernels/backend.h"
#include "kernels/parallel.h"

namespace hone::cpu {

// Activations rounded for a matrix with quantize_input: values * scale, per token.
struct RoundedTokens {
  std::vector<float> values;      // [tokens, columns] on the int8 or fp8 grid
  std::vector<int16_t> integers;  // the same as integers, where the product is one of integers
  std::vector<float> scale;       // [tokens]
};

struct Context {
  ThreadPool pool;
  RoundedTokens rounded[3];  // one for each matrix of an op; kept to spare the allocation
};

// BackendContext is an opaque name to callers; here it is this backend's Context.
inline Context& own(BackendContext& context) { return reinterpret_cast<Context&>(context); }

// Every op is compiled once per target. choose_<op>() returns the version for Highway's chosen
// target, which open_cpu_backend sets just before it calls them.
#define X(name, Args) void (*choose_##name())(BackendContext&, const Args&);
FOR_EACH_OP(X)
#undef X

// After HWY_EXPORT(name).
#define CHOOSE_OP(name, Args) \
  void (*choose_##name())(BackendContext&, const Args&) { return &HWY_DYNAMIC_DISPATCH(name); }

}  // namespace hone::cpu
