// What the backend needs of CUDA's host side. runtime_cuda.cpp does it with the CUDA runtime and
// cuBLASLt; runtime_emulated.cpp with the emulator of kernels/simt, for tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "kernels/dtype.h"
#include "kernels/simt/device.h"

namespace hone::cuda {

struct DeviceInfo {
  std::string name;    // "NVIDIA H200"
  std::string bus_id;  // "0000:3B:00.0"
  int index = 0;
  int architecture = 0;  // 90 for compute capability 9.0
  int multiprocessors = 1;
  size_t shared_bytes = 0;                 // that a block may have
  size_t cache_bytes = 0;                  // of the L2 cache
  size_t total_bytes = 0;                  // of device memory
  size_t weight_piece = size_t{64} << 20;  // matrices lie together in pieces of so many bytes
  size_t load_piece = size_t{8} << 20;     // of a file, on their way at once
  // That a driver may take unasked: for the code of kernels once they run, ours and the library's,
  // for recordings, and at the ends of pages.
  size_t driver_bytes = size_t{256} << 20;
};

// Chooses device `index` for this thread and reads its properties. False, and *why (faults.h),
// where there is none that hone's kernels run on.
bool open_device(int index, DeviceInfo* device, std::string* why);
size_t free_device_bytes();

// Both throw OutOfDeviceMemory. What shall be zero is so on return, also while work is recorded: a
// recording may be given up, and its memory stay.
void* allocate_device(size_t bytes);
void* allocate_zeroed(size_t bytes);
void release_device(void* memory);
// In the stream's order. copy_to_host returns when the bytes are there. To the device: staging.h.
void fill_zero(simt::Stream stream, void* memory, size_t bytes);
void copy_to_host(simt::Stream stream, void* to_host, const void* from, size_t bytes);
void copy_on_device(simt::Stream stream, void* to, const void* from, size_t bytes);

// `rows` pieces of `bytes`, from and to places so far apart.
struct RowsCopy {
  void* to;
  size_t to_pitch;
  const void* from;
  size_t from_pitch;
  size_t bytes, rows;
};
void copy_rows_on_device(simt::Stream stream, const RowsCopy& copy);

simt::Stream make_stream(bool overlap);  // as Stream's
void close_stream(simt::Stream stream);
bool is_idle(simt::Stream stream);  // nothing is left to do
// Work that a library gives to the stream, whose handle it is called with.
void call_on_stream(simt::Stream stream, const std::function<void(void* handle)>& call);

// Seconds from when the stream comes to `work` to its end, by the device's clock. Waits for it.
double seconds_of(simt::Stream stream, const std::function<void()>& work);

// Work recorded from a stream, to be run again with one call.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void run(simt::Stream stream) = 0;
};
// What `work` gives to the stream is recorded instead of done; where it throws, nothing is.
std::unique_ptr<Recording> record(simt::Stream stream, const std::function<void()>& work);

// Dense products of large batches by the vendor's library.
class GemmLibrary {
 public:
  virtual ~GemmLibrary() = default;
  // out[t, r] = factor * sum_c x[t, c] * weight[r, c] + bias[r] + add[t, r], f32 sums. x and weight
  // have 16-bit floats of `type` (F16 or BF16), f32 or, where multiplies_fp8(), E4M3; strides count
  // elements; add may be out.
  struct Product {
    DType type;
    const void* x;       // [tokens, columns]
    const void* weight;  // [rows, columns]
    float* out;          // [tokens, rows], out_stride apart
    int64_t tokens, rows, columns;
    int64_t x_stride, weight_stride, out_stride;
    float factor = 1;
    const float* bias = nullptr;  // [rows], or null
    const float* add = nullptr;   // [tokens, rows], add_stride apart, or null
    int64_t add_stride = 0;
  };
  // False where the library has no kernel for such a product; it is asked once for each shape.
  virtual bool multiply(simt::Stream stream, const Product& product) = 0;
  virtual bool multiplies_fp8() const { return false; }
  // int8 x int8 -> int32, exact.
  struct IntegerProduct {
    const int8_t* x;
    const int8_t* weight;
    int32_t* out;
    int64_t tokens, rows, columns;
    int64_t x_stride, weight_stride, out_stride;
  };
  virtual bool multiply(simt::Stream stream, const IntegerProduct& product) = 0;
};
// Null where there is none; *why: where it should be and does not open.
std::unique_ptr<GemmLibrary> open_gemm_library(const DeviceInfo& device, std::string* why);

}  // namespace hone::cuda
