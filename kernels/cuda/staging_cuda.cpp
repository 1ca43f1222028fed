// A ring of pinned buffers, an event each: pageable memory is copied at 8 GB/s, pinned at 55.
#include <cuda_runtime.h>

#include <algorithm>
#include <new>

#include "kernels/cuda/staging.h"

namespace hone::cuda {
namespace {

constexpr int kPieces = 4;

class PinnedRing final : public Staging {
 public:
  PinnedRing() {
    for (Piece& piece : pieces_) {
      simt::cuda_check(cudaEventCreateWithFlags(&piece.copied, cudaEventDisableTiming),
                       "cudaEventCreate");
    }
  }
  ~PinnedRing() override {
    for (Piece& piece : pieces_) {
      cudaEventSynchronize(piece.copied);
      cudaEventDestroy(piece.copied);
      cudaFreeHost(piece.memory);
    }
  }

  std::byte* next(size_t bytes) override {
    current_ = (current_ + 1) % kPieces;
    Piece& piece = pieces_[current_];
    simt::cuda_check(cudaEventSynchronize(piece.copied), "wait for a copy to the device");
    if (piece.bytes < bytes) grow(piece, std::max(bytes, kPiece));
    return static_cast<std::byte*>(piece.memory);
  }

  void send(simt::Stream stream, void* to, size_t bytes) override {
    Piece& piece = pieces_[current_];
    simt::cuda_check(
        cudaMemcpyAsync(to, piece.memory, bytes, cudaMemcpyHostToDevice, stream.handle),
        "copy to the device");
    simt::cuda_check(cudaEventRecord(piece.copied, stream.handle), "cudaEventRecord");
  }

 private:
  struct Piece {
    void* memory = nullptr;
    size_t bytes = 0;
    cudaEvent_t copied = nullptr;
  };

  static void grow(Piece& piece, size_t bytes) {
    cudaFreeHost(piece.memory);
    piece = {.copied = piece.copied};
    const cudaError_t error = cudaMallocHost(&piece.memory, bytes);
    if (error == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // not sticky: clears it
      throw std::bad_alloc();
    }
    simt::cuda_check(error, "cudaMallocHost");
    piece.bytes = bytes;
  }

  Piece pieces_[kPieces];
  int current_ = 0;
};

}  // namespace

std::unique_ptr<Staging> open_staging() { return std::make_unique<PinnedRing>(); }

}  // namespace hone::cuda
