// Memory of a backend that gives itself back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels/backend.h"

namespace hone {

class Buffer {
 public:
  Buffer() = default;
  // Zeroed, 64-byte aligned. Throws std::bad_alloc.
  Buffer(Backend& backend, int64_t bytes)
      : backend_(&backend), bytes_(bytes), memory_(backend.allocate(static_cast<size_t>(bytes))) {}
  ~Buffer() { reset(); }
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    if (this == &other) return *this;
    reset();
    backend_ = std::exchange(other.backend_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
    memory_ = std::exchange(other.memory_, nullptr);
    return *this;
  }

  void reset() {
    if (memory_) backend_->release(memory_);
    memory_ = nullptr;
    bytes_ = 0;
  }

  int64_t bytes() const { return bytes_; }
  template <typename T>
  T* as() const {
    return static_cast<T*>(memory_);
  }

 private:
  Backend* backend_ = nullptr;
  int64_t bytes_ = 0;
  void* memory_ = nullptr;
};

}  // namespace hone
