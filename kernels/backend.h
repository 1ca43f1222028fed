// A backend: where buffers live and who runs the ops. Calls name their arguments:
//   backend.run.rms_norm({.x = x, .weight = w, .out = x, .rows = tokens, .dim = dim, .eps = eps});
// Ops run in the order they are called; copies wait for them.
#pragma once

#include <cstddef>
#include <string_view>

#include "kernels/ops.h"

namespace hone {

struct BackendContext;  // each backend defines its own

template <typename Args>
struct Op {
  void (*function)(BackendContext&, const Args&) = nullptr;
  BackendContext* context = nullptr;
  void operator()(const Args& args) const { function(*context, args); }
};

struct OpTable {
#define X(name, Args) Op<Args> name;
  FOR_EACH_OP(X)
#undef X
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string_view name() const = 0;    // "ref", "cpu", "cuda"
  virtual std::string_view detail() const = 0;  // "avx3_spr, 2 threads": for -v
  virtual bool shares_host_memory() const = 0;  // true: ops read mapped files and host pointers
  virtual void* allocate(size_t bytes) = 0;     // 64-byte aligned, zeroed; throws std::bad_alloc
  virtual void release(void* memory) = 0;
  virtual void copy_in(void* to, const void* from_host, size_t bytes) = 0;
  virtual void copy_out(void* to_host, const void* from, size_t bytes) = 0;

  OpTable run;
};

}  // namespace hone
