// Table of ops, memory and recordings of the CUDA backend.
#include "kernels/cuda/cuda_backend.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels/arena.h"
#include "kernels/check.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/faults.h"
#include "kernels/cuda/nccl.h"
#include "kernels/cuda/probe.h"
#include "kernels/cuda/staging.h"
#include "kernels/cuda/weights.h"
#include "kernels/out_of_device_memory.h"

namespace hone {
namespace cuda {

// Pinned memory of a copy to the device, at first and at most: a step's ids and positions; a
// prompt's hidden state, by pieces.
constexpr size_t kSmallCopy = size_t{64} << 10, kLargeCopy = size_t{1} << 20;

namespace {

std::string detail_of(const DeviceInfo& device) {
  char text[160];
  std::snprintf(text, sizeof text, "%s, device %d, %d multiprocessors, %.1f GiB",
                device.name.c_str(), device.index, device.multiprocessors,
                static_cast<double>(device.total_bytes) / (1 << 30));
  return text;
}

using DeviceArena = Arena<allocate_device, release_device>;

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const DeviceInfo& device)
      : detail_(detail_of(device)), weights_(device.weight_piece) {
    context_.device = device;
    std::string fault;
    context_.gemm = open_gemm_library(device, &fault);
    if (!fault.empty()) detail_ += "; " + fault + ", own kernels instead";
    const bool overlap = may_overlap(device);
    context_.stream = make_stream(overlap);  // last of what may throw: the destructor closes it
    auto* const context = reinterpret_cast<BackendContext*>(&context_);
#define X(name, Args) run.name = {cuda::name, context};
    FOR_EACH_OP(X)
#undef X
  }

  ~CudaBackend() override {
    recordings_.clear();
    group_.reset();
    context_.gemm.reset();
    close_stream(context_.stream);
  }

  // Runs a kernel: throws where the plug-in has no code for the device, or the driver does not take
  // it. What the driver cannot record is left out from here on.
  void try_kernel() {
    auto* const x = reinterpret_cast<float*>(context_.scratch.reserve(sizeof(float)));
    const auto square = [&] { run.mul({.a = x, .b = x, .out = x, .count = 1}); };
    square();
    float zero = 1;
    copy_out(&zero, x, sizeof zero);
    CHECK(zero == 0);
    if (context_.stream.overlap && !try_recording(square, "kernels do not overlap")) {
      context_.stream.overlap = false;
    }
    if (!context_.stream.overlap) records_ = try_recording(square, "steps are not recorded");
  }

  std::string_view name() const override { return "cuda"; }
  std::string_view detail() const override { return detail_; }
  bool shares_host_memory() const override { return false; }

  void* allocate(size_t bytes) override { return allocate_zeroed(std::max<size_t>(bytes, 1)); }
  void release(void* memory) override { release_device(memory); }
  // Through pinned memory: from elsewhere a copy is slower, and may wait for the stream.
  void copy_in(void* to, const void* from_host, size_t bytes) override {
    for (size_t done = 0; done < bytes;) {
      const size_t piece = std::min(bytes - done, kLargeCopy);
      std::memcpy(inbox_->next(piece), static_cast<const std::byte*>(from_host) + done, piece);
      inbox_->send(context_.stream, static_cast<std::byte*>(to) + done, piece);
      done += piece;
    }
  }
  void copy_out(void* to_host, const void* from, size_t bytes) override {
    if (bytes > 0) copy_to_host(context_.stream, to_host, from, bytes);
  }
  void copy(void* to, const void* from, size_t bytes) override {
    if (bytes > 0) copy_on_device(context_.stream, to, from, bytes);
  }

  size_t placed_bytes(const WeightView& host) const override {
    return DeviceArena::rounded(loader().placed_bytes(host));
  }
  void reserve_placed(size_t bytes) override {
    weights_.reserve(bytes);
    to_come_ = bytes;
  }
  WeightView place(const WeightView& host) override {
    const size_t bytes = placed_bytes(host);
    const WeightView placed = loader().place(context_.stream, host, weights_.take(bytes));
    to_come_ -= std::min(bytes, to_come_);
    if (to_come_ == 0) loader_.reset();
    return placed;
  }
  // Less what placing takes meanwhile.
  size_t free_bytes() const override {
    const size_t free = free_device_bytes();
    return free - std::min(free, loader_bytes(context_.device));
  }
  size_t driver_bytes() const override { return context_.device.driver_bytes; }
  WeightView placed_view(const WeightView& host) const override {
    return loader().placed_view(host);
  }
  size_t scratch_bytes(const std::function<void()>& ops) override {
    const auto wanted = counted(ops);
    return std::accumulate(wanted.begin(), wanted.end(), size_t{0});
  }
  void reserve_scratch(const std::function<void()>& ops) override {
    const auto wanted = counted(ops);
    for (size_t i = 0; i < wanted.size(); ++i) {
      if (wanted[i] > 0) context_.scratches()[i]->reserve(wanted[i]);
    }
  }
  double seconds_of(const std::function<void()>& ops) override {
    sweep_cache();
    return cuda::seconds_of(context_.stream, ops);
  }
  MachinePeaks measure_peaks() override { return cuda::measure_peaks(context_); }
  bool few_ops() const override { return true; }
  void set_exact(bool exact) override { context_.exact = exact; }

  std::string_view bus_id() const override { return context_.device.bus_id; }
  bool runs_ahead() const override { return true; }
  void start_copy_out(const void* from, size_t bytes) override {
    outbox_->start(context_.stream, from, bytes);
  }
  void finish_copy_out(void* to_host, size_t bytes) override { outbox_->finish(to_host, bytes); }

  int record(const std::function<void()>& ops) override {
    if (!records_) return Backend::record(ops);
    recordings_.push_back(cuda::record(context_.stream, ops));
    return static_cast<int>(recordings_.size()) - 1;
  }
  void replay(int recording) override {
    CHECK(recording >= 0 && static_cast<size_t>(recording) < recordings_.size());
    recordings_[static_cast<size_t>(recording)]->run(context_.stream);
  }
  void forget_recordings() override { recordings_.clear(); }

  std::string group_id(std::string* why) override { return new_nccl_id(why); }
  bool join_group(const GroupMember& member, std::string* why) override {
    group_ = join_nccl(context_, member, why);
    return group_ != nullptr;
  }
  void leave_group() override { leave_alone(std::move(group_)); }
  DeviceGroup* group() override { return group_.get(); }

 private:
  // Fills the L2 cache with what nobody reads; while that lasts the host gives what is timed, so
  // that the device does not wait for it.
  void sweep_cache() {
    const size_t bytes = 2 * context_.device.cache_bytes;
    fill_zero(context_.stream, sweep_.reserve(bytes), bytes);
  }

  // Of each scratch memory.
  using ScratchBytes =
      std::array<size_t, std::tuple_size_v<decltype(std::declval<Context&>().scratches())>>;

  // What `ops` want of it, and do not have.
  ScratchBytes counted(const std::function<void()>& ops) {
    struct Count {
      explicit Count(Context& of) : context(of) {
        context.stream.dry = true;
        for (Scratch* scratch : context.scratches()) scratch->begin_count();
      }
      ~Count() { end(); }
      ScratchBytes end() {
        context.stream.dry = false;
        ScratchBytes bytes;
        std::ranges::transform(context.scratches(), bytes.begin(), &Scratch::end_count);
        return bytes;
      }
      Context& context;
    } count(context_);
    ops();
    return count.end();
  }

  // Two ops, of which the second may overlap the first: drivers before CUDA 12.3 record no such
  // pair.
  bool try_recording(const std::function<void()>& op, const std::string& otherwise) {
    try {
      cuda::record(context_.stream, [&] { op(), op(); })->run(context_.stream);
      return true;
    } catch (const std::runtime_error& fault) {
      detail_ += "; " + otherwise + " (" + fault.what() + ")";
      return false;
    }
  }

  Loader& loader() const {
    if (!loader_) loader_ = std::make_unique<Loader>(context_.device);
    return *loader_;
  }

  std::string detail_;
  Context context_;
  Scratch sweep_;
  bool records_ = true;
  DeviceArena weights_;
  mutable std::unique_ptr<Loader> loader_;  // while matrices are placed, or asked about
  size_t to_come_ = 0;                      // of what was reserved: bytes that are not placed yet
  std::unique_ptr<Staging> inbox_ = open_staging(kSmallCopy);
  std::unique_ptr<Outbox> outbox_ = open_outbox();
  std::unique_ptr<DeviceGroup> group_;
  std::vector<std::unique_ptr<Recording>> recordings_;  // of the group's work, too
};

}  // namespace
}  // namespace cuda

std::unique_ptr<Backend> open_cuda_device(int index, std::string* why) {
  cuda::DeviceInfo device = {.index = index};
  try {
    if (!cuda::open_device(index, &device, why)) return nullptr;
    auto backend = std::make_unique<cuda::CudaBackend>(device);
    backend->try_kernel();
    return backend;
  } catch (const OutOfDeviceMemory& fault) {  // another program has it
    *why = cuda::unusable(device, fault.what());
  } catch (const std::runtime_error& fault) {
    *why = cuda::unusable(device, fault.what());
  }
  return nullptr;
}

}  // namespace hone
