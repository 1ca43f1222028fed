// Bytes on their way to the device: pieces of host memory that the device reads at full speed,
// filled by the host while earlier ones are copied. And back, while the host does other things.
// staging_cuda.cpp and staging_emulated.cpp.
#pragma once

#include <cstddef>
#include <memory>

#include "kernels/simt/device.h"

namespace hone::cuda {

class Staging {
 public:
  virtual ~Staging() = default;
  // A piece of at least so many bytes whose last copy has ended; waits for it if need be.
  virtual std::byte* next(size_t bytes) = 0;
  // Copies the front of that piece, in the stream's order.
  virtual void send(simt::Stream stream, void* to, size_t bytes) = 0;
};
// piece: bytes that a piece has at least. Both throw std::bad_alloc.
std::unique_ptr<Staging> open_staging(size_t piece);

// Bytes on their way into kernels: a ring of pieces, each with a stream of its own, so that one is
// copied while kernels read another.
class Feed {
 public:
  virtual ~Feed() = default;
  struct Piece {
    std::byte* host;
    std::byte* device;
    simt::Stream stream;
  };
  // A piece of so many bytes whose last work has ended; waits for it if need be.
  virtual Piece next(size_t bytes) = 0;
  // Copies that piece to the device, in its stream's order.
  virtual void send() = 0;
  // What `stream` is given from here on begins after all work of the pieces, which wrote to
  // `memory`.
  virtual void join(simt::Stream stream, void* memory, size_t bytes) = 0;
};
inline constexpr int kFeedPieces = 4;
// Its pieces grow with what is asked for; next() throws std::bad_alloc.
std::unique_ptr<Feed> open_feed();

// First started, first finished; few at once.
class Outbox {
 public:
  virtual ~Outbox() = default;
  virtual void start(simt::Stream stream, const void* from, size_t bytes) = 0;
  virtual void finish(void* to_host, size_t bytes) = 0;
};
std::unique_ptr<Outbox> open_outbox();

}  // namespace hone::cuda
