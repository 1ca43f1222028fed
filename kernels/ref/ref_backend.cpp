// Table of ops and host memory of the reference backend.
#include "kernels/ref/ref_backend.h"

#include <cstring>

#include "kernels/host_memory.h"
#include "kernels/ref/ref_ops.h"

namespace hone {
namespace {

class RefBackend final : public Backend {
 public:
  RefBackend() {
    // The ops keep no state; the context is only an address.
    auto* const context = reinterpret_cast<BackendContext*>(this);
#define X(name, Args) run.name = {ref::name, context};
    FOR_EACH_OP(X)
#undef X
  }

  std::string_view name() const override { return "ref"; }
  std::string_view detail() const override { return "double precision, 1 thread"; }
  bool shares_host_memory() const override { return true; }
  void* allocate(size_t bytes) override { return allocate_host(bytes); }
  void release(void* memory) override { release_host(memory); }
  void copy_in(void* to, const void* from_host, size_t bytes) override {
    copy(to, from_host, bytes);
  }
  void copy_out(void* to_host, const void* from, size_t bytes) override {
    copy(to_host, from, bytes);
  }

  void copy(void* to, const void* from, size_t bytes) override {
    if (bytes > 0) std::memmove(to, from, bytes);
  }
};

}  // namespace

std::unique_ptr<Backend> open_ref_backend() { return std::make_unique<RefBackend>(); }

}  // namespace hone
