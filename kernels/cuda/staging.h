// Bytes on their way to the device: pieces of host memory that the device reads at full speed,
// filled by the host while earlier ones are copied. staging_cuda.cpp and staging_emulated.cpp.
#pragma once

#include <cstddef>
#include <memory>

#include "kernels/simt/device.h"

namespace hone::cuda {

class Staging {
 public:
  static constexpr size_t kPiece = size_t{8} << 20;

  virtual ~Staging() = default;
  // A piece of at least so many bytes whose last copy has ended; waits for it if need be.
  virtual std::byte* next(size_t bytes) = 0;
  // Copies the front of that piece, in the stream's order.
  virtual void send(simt::Stream stream, void* to, size_t bytes) = 0;
};
// Throws std::bad_alloc.
std::unique_ptr<Staging> open_staging();

}  // namespace hone::cuda
