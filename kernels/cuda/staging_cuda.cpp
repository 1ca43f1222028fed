// A ring of pinned buffers, an event each: pageable memory is copied at 8 GB/s, pinned at 55.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

#include "kernels/check.h"
#include "kernels/cuda/staging.h"

namespace hone::cuda {
namespace {

constexpr int kPieces = 4;

// Pinned memory and an event: the last copy from or to it.
struct Piece {
  void* memory = nullptr;
  size_t bytes = 0;
  cudaEvent_t copied = nullptr;

  Piece() {
    simt::cuda_check(cudaEventCreateWithFlags(&copied, cudaEventDisableTiming), "cudaEventCreate");
  }
  Piece(const Piece&) = delete;
  Piece& operator=(const Piece&) = delete;
  ~Piece() {
    cudaEventSynchronize(copied);
    cudaEventDestroy(copied);
    cudaFreeHost(memory);
  }

  void wait() const { simt::cuda_check(cudaEventSynchronize(copied), "wait for a copy"); }
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
  void copy(simt::Stream stream, void* to, const void* from, size_t size) const {
    simt::cuda_check(cudaMemcpyAsync(to, from, size, cudaMemcpyDefault, stream.handle),
                     "copy to or from the device");
    simt::cuda_check(cudaEventRecord(copied, stream.handle), "cudaEventRecord");
  }
};

class PinnedRing final : public Staging {
 public:
  explicit PinnedRing(size_t piece) : piece_(piece) {}

  std::byte* next(size_t bytes) override {
    current_ = (current_ + 1) % kPieces;
    Piece& piece = pieces_[current_];
    piece.wait();
    piece.reserve(std::max(bytes, piece_));
    return static_cast<std::byte*>(piece.memory);
  }

  void send(simt::Stream stream, void* to, size_t bytes) override {
    pieces_[current_].copy(stream, to, pieces_[current_].memory, bytes);
  }

 private:
  size_t piece_;
  Piece pieces_[kPieces];
  int current_ = 0;
};

class PinnedQueue final : public Outbox {
 public:
  void start(simt::Stream stream, const void* from, size_t bytes) override {
    CHECK(started_ - finished_ < kPieces);
    Piece& piece = pieces_[started_++ % kPieces];
    piece.reserve(bytes);
    piece.copy(stream, piece.memory, from, bytes);
  }
  void finish(void* to_host, size_t bytes) override {
    CHECK(finished_ < started_);
    const Piece& piece = pieces_[finished_++ % kPieces];
    piece.wait();
    std::memcpy(to_host, piece.memory, bytes);
  }

 private:
  Piece pieces_[kPieces];
  int64_t started_ = 0, finished_ = 0;
};

}  // namespace

std::unique_ptr<Staging> open_staging(size_t piece) { return std::make_unique<PinnedRing>(piece); }
std::unique_ptr<Outbox> open_outbox() { return std::make_unique<PinnedQueue>(); }

}  // namespace hone::cuda
