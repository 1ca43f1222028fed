// runtime.h over the emulator of kernels/simt: "device memory" is host memory that only kernels and
// copies may touch, and every kernel runs as it is launched. A recording notes launches and copies
// within the device, as a CUDA graph does, so that what an op reads on the host while it is
// recorded shows as wrong data when it is replayed.
#include <chrono>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>

#include "kernels/cuda/faults.h"
#include "kernels/cuda/runtime.h"
#include "kernels/out_of_device_memory.h"

namespace hone::cuda {
namespace {

namespace emu = simt::emu;

class EmulatedRecording final : public Recording {
 public:
  explicit EmulatedRecording(emu::Work work) : work_(std::move(work)) {}
  void run(simt::Stream) override {
    for (const auto& each : work_) emu::do_or_note(each);
  }

 private:
  emu::Work work_;
};

void require_no_recording(const char* what) {
  if (emu::recording) emu::fail(std::string(what) + " while work is recorded");
}

}  // namespace

// Few multiprocessors, so that small shapes already fill them more than once. A device for each of
// a few ranks.
bool open_device(int index, DeviceInfo* device, std::string* why) {
  *why = no_device({.devices = 4}, index);
  if (!why->empty()) return false;
  *device = {.name = "emulator",
             .bus_id = "0000:00:00.0",
             .index = index,
             .architecture = 90,
             .multiprocessors = 6,
             .shared_bytes = emu::config().shared_limit,
             .cache_bytes = size_t{1} << 10,
             .total_bytes = emu::config().device_bytes,
             .weight_piece = 0,              // each matrix on its own: reads past its end are seen
             .load_piece = size_t{8} << 10,  // most matrices of tests are several
             .driver_bytes = 0};
  return true;
}

size_t free_device_bytes() { return emu::config().device_bytes - emu::device_bytes_in_use(); }

void* allocate_device(size_t bytes) {
  try {
    return emu::device_alloc(bytes);
  } catch (const std::bad_alloc&) {
    throw OutOfDeviceMemory(out_of_memory(bytes, free_device_bytes()));
  }
}
void* allocate_zeroed(size_t bytes) {
  void* const memory = allocate_device(bytes);
  std::memset(memory, 0, bytes);
  emu::check::initialised(memory, bytes);
  return memory;
}
void release_device(void* memory) { emu::device_free(memory); }

void fill_zero(simt::Stream, void* memory, size_t bytes) {
  emu::require_device_memory(memory, bytes);
  emu::do_or_note([=] {
    std::memset(memory, 0, bytes);
    emu::check::initialised(memory, bytes);
  });
}

void copy_to_host(simt::Stream, void* to_host, const void* from, size_t bytes) {
  require_no_recording("a copy to the host");
  emu::require_device_memory(from, bytes);
  std::memcpy(to_host, from, bytes);
}

void copy_on_device(simt::Stream, void* to, const void* from, size_t bytes) {
  emu::require_device_memory(to, bytes);
  emu::require_device_memory(from, bytes);
  emu::do_or_note([=] {
    std::memmove(to, from, bytes);
    emu::check::initialised(to, bytes);
  });
}

void copy_rows_on_device(simt::Stream stream, const RowsCopy& copy) {
  for (size_t r = 0; r < copy.rows; ++r) {
    copy_on_device(stream, static_cast<std::byte*>(copy.to) + r * copy.to_pitch,
                   static_cast<const std::byte*>(copy.from) + r * copy.from_pitch, copy.bytes);
  }
}

// overlap: kernels must keep the rules of dependent launches, though here they run in turn.
simt::Stream make_stream(bool overlap) { return {.overlap = overlap}; }
void close_stream(simt::Stream) {}
bool is_idle(simt::Stream) { return true; }

void call_on_stream(simt::Stream, const std::function<void(void* handle)>& call) {
  emu::do_or_note([=] { call(nullptr); });
}

double seconds_of(simt::Stream, const std::function<void()>& work) {
  require_no_recording("a reading of the clock");
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

std::unique_ptr<Recording> record(simt::Stream, const std::function<void()>& work) {
  require_no_recording("a recording begins");
  emu::Work noted;
  struct End {
    ~End() { emu::recording = nullptr; }
  } end;
  emu::recording = &noted;
  work();
  return std::make_unique<EmulatedRecording>(std::move(noted));
}

std::unique_ptr<GemmLibrary> open_gemm_library(const DeviceInfo&, std::string*) {
  return nullptr;
}

}  // namespace hone::cuda
