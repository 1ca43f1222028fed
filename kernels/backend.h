// A backend: where buffers live and who runs the ops. Calls name their arguments:
//   backend.run.rms_norm({.x = x, .weight = w, .out = x, .rows = tokens, .dim = dim, .eps = eps});
// Ops run in the order they are called; copies wait for them.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "kernels/device_group.h"
#include "kernels/ops.h"
#include "kernels/probe.h"

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

  // Share of zeros from which on products with a dense matrix are faster by a bitmask
  // (tensor_view.h); above 1: never.
  virtual double least_zeros(const WeightView&) const { return 2; }

  // The rest is for backends with memory of their own; the defaults do for those that share the
  // host's.
  // Bytes that place() takes for a matrix, and the matrix as the ops want it: where it is, or a
  // copy in the backend's memory, in its own layout, that lives until the backend closes. Throws
  // std::bad_alloc.
  virtual size_t placed_bytes(const WeightView&) const { return 0; }
  // Room for all matrices that are placed next, so many placed_bytes() together, and no more.
  virtual void reserve_placed(size_t) {}
  virtual WeightView place(const WeightView& host) { return host; }
  // Memory that allocate() and place() can still give; 0: the host's.
  virtual size_t free_bytes() const { return 0; }
  // And what the driver may take of it unasked: for code that it loads, for recordings.
  virtual size_t driver_bytes() const { return 0; }
  // What place() will return, at no memory's address.
  virtual WeightView placed_view(const WeightView& host) const { return host; }
  // Calls `ops`, and runs none of the ops that it calls: memory that they would take for
  // themselves, beside what they have. Pointers are not followed, and need not be of this memory.
  virtual size_t scratch_bytes(const std::function<void()>&) { return 0; }
  // Takes that memory, so that these ops take none later.
  virtual void reserve_scratch(const std::function<void()>&) {}
  // Where the device sits, "0000:3B:00.0": what its counters of energy go by. "": the host.
  virtual std::string_view bus_id() const { return ""; }
  // Moves bytes within the backend's memory.
  virtual void copy(void* to, const void* from, size_t bytes) = 0;
  // True where each op costs a launch, so that fewer are better: products then take an InputNorm,
  // and rope_kv_store is one pass.
  virtual bool few_ops() const { return false; }
  // Products round no activations, also where that is slower.
  virtual void set_exact(bool) {}
  // Seconds that `ops` take, by the device's own clock where it has one; there its caches hold
  // nothing of theirs when they begin, as in a step of a model larger than these.
  virtual double seconds_of(const std::function<void()>& ops) {
    const auto begin = std::chrono::steady_clock::now();
    ops();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  // What the device can do, measured now; zeros where it is the host: probe_machine().
  virtual MachinePeaks measure_peaks() { return {}; }
  // Calls `ops`, and notes the ops that it calls instead of running them: replay() of what is
  // returned runs them, with one call and the same pointers, as often as wanted. -1: they were run,
  // because this backend notes none. Nothing is noted where `ops` throws.
  virtual int record(const std::function<void()>& ops) {
    ops();
    return -1;
  }
  virtual void replay(int) {}
  virtual void forget_recordings() {}
  // True where ops return before they are done, so that the next step can be given meanwhile. Its
  // results come back by copies that are started, and finished, in the same order: finishing waits,
  // starting does not.
  virtual bool runs_ahead() const { return false; }
  virtual void start_copy_out(const void*, size_t) {}
  virtual void finish_copy_out(void*, size_t) {}

  // Ranks whose devices pass data to each other: each makes an id, which shows that it can ("" and
  // *why: it cannot), and all join the group of rank 0's, waiting for each other. False, and *why,
  // where that failed. The group belongs to the backend; null before it has joined one.
  virtual std::string group_id(std::string*) { return ""; }
  virtual bool join_group(const GroupMember&, std::string*) { return false; }
  virtual void leave_group() {}
  virtual DeviceGroup* group() { return nullptr; }

  OpTable run;
};

}  // namespace hone
