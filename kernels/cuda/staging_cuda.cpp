// Rings of pinned buffers: pageable memory is copied at 8 GB/s, pinned at 55.
#include <cuda_runtime.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

#include "kernels/check.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/staging.h"

namespace hone::cuda {
namespace {

constexpr int kPieces = 4;

// Pinned memory and an event: the end of the last work on it.
struct Pinned {
  void* memory = nullptr;
  size_t bytes = 0;
  cudaEvent_t done = nullptr;

  Pinned() {
    simt::cuda_check(cudaEventCreateWithFlags(&done, cudaEventDisableTiming), "cudaEventCreate");
  }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  ~Pinned() {
    cudaEventSynchronize(done);
    cudaEventDestroy(done);
    cudaFreeHost(memory);
  }

  void wait() const { simt::cuda_check(cudaEventSynchronize(done), "wait for a copy"); }
  // Its last copy has ended.
  void reserve(size_t wanted) {
    if (wanted <= bytes) return;
    cudaFreeHost(std::exchange(memory, nullptr));
    bytes = 0;
    const cudaError_t error = cudaMallocHost(&memory, wanted);
    if (error == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // not sticky: clears it
      throw std::bad_alloc();
    }
    simt::cuda_check(error, "cudaMallocHost");
    bytes = wanted;
  }
  // The last work is what the stream was given so far.
  void ends(simt::Stream stream) const {
    simt::cuda_check(cudaEventRecord(done, stream.handle), "cudaEventRecord");
  }
  void copy(simt::Stream stream, void* to, const void* from, size_t size) const {
    simt::cuda_check(cudaMemcpyAsync(to, from, size, cudaMemcpyDefault, stream.handle),
                     "copy to or from the device");
    ends(stream);
  }
};

class PinnedRing final : public Staging {
 public:
  explicit PinnedRing(size_t piece) : piece_(piece) {}

  std::byte* next(size_t bytes) override {
    current_ = (current_ + 1) % kPieces;
    Pinned& piece = pieces_[current_];
    piece.wait();
    piece.reserve(std::max(bytes, piece_));
    return static_cast<std::byte*>(piece.memory);
  }

  void send(simt::Stream stream, void* to, size_t bytes) override {
    pieces_[current_].copy(stream, to, pieces_[current_].memory, bytes);
  }

 private:
  size_t piece_;
  Pinned pieces_[kPieces];
  int current_ = 0;
};

// A piece's memory on both sides, and its stream.
struct Slot {
  Pinned host;
  simt::Stream stream = make_stream(false);
  void* device = nullptr;
  size_t bytes = 0;

  Slot() = default;
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;
  ~Slot() {
    close_stream(stream);
    release_device(device);
  }

  // Its last work has ended. Rounded up, because pieces differ by some rows.
  void reserve(size_t wanted) {
    wanted = std::bit_ceil(wanted);
    host.reserve(wanted);
    if (wanted <= bytes) return;
    release_device(std::exchange(device, nullptr));
    bytes = 0;
    device = allocate_device(wanted);
    bytes = wanted;
  }
};

class PinnedFeed final : public Feed {
 public:
  Piece next(size_t bytes) override {
    current_ = (current_ + 1) % kFeedPieces;
    Slot& slot = slots_[current_];
    slot.stream.wait();
    slot.reserve(bytes);
    wanted_ = bytes;
    return {static_cast<std::byte*>(slot.host.memory), static_cast<std::byte*>(slot.device),
            slot.stream};
  }
  void send() override {
    const Slot& slot = slots_[current_];
    slot.host.copy(slot.stream, slot.device, slot.host.memory, wanted_);
  }
  void join(simt::Stream stream, void*, size_t) override {
    for (const Slot& slot : slots_) {
      slot.host.ends(slot.stream);
      simt::cuda_check(cudaStreamWaitEvent(stream.handle, slot.host.done), "cudaStreamWaitEvent");
    }
  }

 private:
  Slot slots_[kFeedPieces];
  int current_ = 0;
  size_t wanted_ = 0;
};

class PinnedQueue final : public Outbox {
 public:
  void start(simt::Stream stream, const void* from, size_t bytes) override {
    CHECK(started_ - finished_ < kPieces);
    Pinned& piece = pieces_[started_++ % kPieces];
    piece.reserve(bytes);
    piece.copy(stream, piece.memory, from, bytes);
  }
  void finish(void* to_host, size_t bytes) override {
    CHECK(finished_ < started_);
    const Pinned& piece = pieces_[finished_++ % kPieces];
    piece.wait();
    std::memcpy(to_host, piece.memory, bytes);
  }

 private:
  Pinned pieces_[kPieces];
  int64_t started_ = 0, finished_ = 0;
};

}  // namespace

std::unique_ptr<Staging> open_staging(size_t piece) { return std::make_unique<PinnedRing>(piece); }
std::unique_ptr<Feed> open_feed() { return std::make_unique<PinnedFeed>(); }
std::unique_ptr<Outbox> open_outbox() { return std::make_unique<PinnedQueue>(); }

}  // namespace hone::cuda
