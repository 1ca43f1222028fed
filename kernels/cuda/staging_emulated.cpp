// The emulator copies as it is told: one buffer does.
#include <cstring>
#include <deque>
#include <optional>
#include <vector>

#include "kernels/check.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/staging.h"

namespace hone::cuda {
namespace {

class OneBuffer final : public Staging {
 public:
  // Filled anew: what the caller does not write shows.
  std::byte* next(size_t bytes) override {
    memory_.assign(bytes, std::byte{0x7f});
    return memory_.data();
  }
  void send(simt::Stream, void* to, size_t bytes) override {
    if (simt::emu::recording) simt::emu::fail("a copy from the host while work is recorded");
    simt::emu::require_device_memory(to, bytes);
    std::memcpy(to, memory_.data(), bytes);
    simt::emu::check::initialised(to, bytes);
  }

 private:
  std::vector<std::byte> memory_;
};

// Memory of just these bytes, anew for each piece: what is read beyond, or later, shows.
class OnePiece final : public Feed {
 public:
  Piece next(size_t bytes) override {
    host_.assign(bytes, std::byte{0x7f});
    device_.emplace(bytes);
    return {host_.data(), device_->get(), {}};
  }
  void send() override {
    std::memcpy(device_->get(), host_.data(), host_.size());
    simt::emu::check::initialised(device_->get(), host_.size());
  }
  void join(simt::Stream, void* memory, size_t bytes) override {
    simt::emu::check::settled(memory, bytes);
  }

 private:
  std::vector<std::byte> host_;
  std::optional<simt::Buffer<std::byte>> device_;
};

class Queue final : public Outbox {
 public:
  void start(simt::Stream stream, const void* from, size_t bytes) override {
    started_.emplace_back(bytes);
    copy_to_host(stream, started_.back().data(), from, bytes);
  }
  void finish(void* to_host, size_t bytes) override {
    CHECK(!started_.empty() && started_.front().size() == bytes);
    std::memcpy(to_host, started_.front().data(), bytes);
    started_.pop_front();
  }

 private:
  std::deque<std::vector<std::byte>> started_;
};

}  // namespace

std::unique_ptr<Staging> open_staging(size_t) { return std::make_unique<OneBuffer>(); }
std::unique_ptr<Feed> open_feed() { return std::make_unique<OnePiece>(); }
std::unique_ptr<Outbox> open_outbox() { return std::make_unique<Queue>(); }

}  // namespace hone::cuda
