// runtime.h over the CUDA runtime.
#include <cuda_runtime.h>

#include <cstdlib>
#include <stdexcept>

#include "kernels/cuda/faults.h"
#include "kernels/cuda/runtime.h"
#include "kernels/out_of_device_memory.h"

namespace hone::cuda {
namespace {

void must(cudaError_t error, const char* what) { simt::cuda_check(error, what); }

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  must(cudaDeviceGetAttribute(&value, which, device), "cudaDeviceGetAttribute");
  return value;
}

DriverState driver_state() {
  DriverState state;
  const cudaError_t error = cudaGetDeviceCount(&state.devices);
  state.too_old = error == cudaErrorInsufficientDriver;
  if (error != cudaSuccess) state.error = cudaGetErrorString(error);
  cudaDriverGetVersion(&state.driver);
  cudaRuntimeGetVersion(&state.runtime);
  const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible) state.visible = visible;
  return state;
}

// A stream's capture, which ends on every path: one left open would refuse all that comes after.
class Capture {
 public:
  // Relaxed: the first run of an op may allocate its scratch memory while it is recorded.
  explicit Capture(simt::Stream stream) : stream_(stream) {
    must(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeRelaxed), "begin of recording");
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  ~Capture() {
    if (!open_) return;
    cudaGraph_t graph = nullptr;
    cudaStreamEndCapture(stream_.handle, &graph);
    if (graph) cudaGraphDestroy(graph);
    cudaGetLastError();  // of work that broke the capture: its own error is on the way
  }

  cudaGraph_t end() {
    cudaGraph_t graph = nullptr;
    open_ = false;
    must(cudaStreamEndCapture(stream_.handle, &graph), "end of recording");
    return graph;
  }

 private:
  simt::Stream stream_;
  bool open_ = true;
};

// A point in a stream.
class Event {
 public:
  Event() { must(cudaEventCreate(&event_), "cudaEventCreate"); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { cudaEventDestroy(event_); }
  void record(simt::Stream stream) { must(cudaEventRecord(event_, stream.handle), "record event"); }
  // Waits for this one.
  double seconds_since(const Event& begin) const {
    must(cudaEventSynchronize(event_), "work that is timed");
    float milliseconds = 0;
    must(cudaEventElapsedTime(&milliseconds, begin.event_, event_), "cudaEventElapsedTime");
    return milliseconds / 1e3;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

class CudaRecording final : public Recording {
 public:
  explicit CudaRecording(cudaGraph_t graph) {
    const cudaError_t error = cudaGraphInstantiate(&executable_, graph, 0);
    cudaGraphDestroy(graph);
    must(error, "cudaGraphInstantiate");
  }
  ~CudaRecording() override { cudaGraphExecDestroy(executable_); }
  void run(simt::Stream stream) override {
    must(cudaGraphLaunch(executable_, stream.handle), "cudaGraphLaunch");
  }

 private:
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace

bool open_device(int index, DeviceInfo* device, std::string* why) {
  *why = no_device(driver_state(), index);
  if (!why->empty()) return false;
  must(cudaSetDevice(index), "cudaSetDevice");
  cudaDeviceProp properties;
  must(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  char bus_id[32] = "";
  must(cudaDeviceGetPCIBusId(bus_id, sizeof bus_id, index), "cudaDeviceGetPCIBusId");
  *device = {.name = properties.name,
             .bus_id = bus_id,
             .index = index,
             .architecture = properties.major * 10 + properties.minor,
             .multiprocessors = properties.multiProcessorCount,
             .shared_bytes =
                 static_cast<size_t>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, index)),
             .cache_bytes = static_cast<size_t>(properties.l2CacheSize),
             .total_bytes = properties.totalGlobalMem};
  *why = no_kernels(*device);
  return why->empty();
}

size_t free_device_bytes() {
  size_t free = 0, total = 0;
  must(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return free;
}

void* allocate_device(size_t bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // not sticky: clears it
    throw OutOfDeviceMemory(out_of_memory(bytes, free_device_bytes()));
  }
  must(error, "cudaMalloc");
  return memory;
}

// In the legacy stream, which ours, a non-blocking one, neither waits for nor is recorded with.
void* allocate_zeroed(size_t bytes) {
  void* const memory = allocate_device(bytes);
  must(cudaMemsetAsync(memory, 0, bytes, cudaStreamLegacy), "cudaMemsetAsync");
  must(cudaStreamSynchronize(cudaStreamLegacy), "zeros in new memory");
  return memory;
}

void release_device(void* memory) { cudaFree(memory); }

void fill_zero(simt::Stream stream, void* memory, size_t bytes) {
  must(cudaMemsetAsync(memory, 0, bytes, stream.handle), "cudaMemsetAsync");
}

void copy_to_host(simt::Stream stream, void* to_host, const void* from, size_t bytes) {
  must(cudaMemcpyAsync(to_host, from, bytes, cudaMemcpyDeviceToHost, stream.handle),
       "copy from the device");
  must(cudaStreamSynchronize(stream.handle), "a kernel before a copy from the device");
}

void copy_on_device(simt::Stream stream, void* to, const void* from, size_t bytes) {
  must(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream.handle),
       "copy on the device");
}

void copy_rows_on_device(simt::Stream stream, const RowsCopy& copy) {
  must(cudaMemcpy2DAsync(copy.to, copy.to_pitch, copy.from, copy.from_pitch, copy.bytes, copy.rows,
                         cudaMemcpyDeviceToDevice, stream.handle),
       "copy on the device");
}

simt::Stream make_stream(bool overlap) {
  simt::Stream stream{.overlap = overlap};
  must(cudaStreamCreateWithFlags(&stream.handle, cudaStreamNonBlocking), "cudaStreamCreate");
  return stream;
}

void close_stream(simt::Stream stream) {
  cudaStreamSynchronize(stream.handle);
  cudaStreamDestroy(stream.handle);
}

bool is_idle(simt::Stream stream) { return cudaStreamQuery(stream.handle) == cudaSuccess; }

void call_on_stream(simt::Stream stream, const std::function<void(void* handle)>& call) {
  call(stream.handle);
}

double seconds_of(simt::Stream stream, const std::function<void()>& work) {
  Event begin, end;
  begin.record(stream);
  work();
  end.record(stream);
  return end.seconds_since(begin);
}

std::unique_ptr<Recording> record(simt::Stream stream, const std::function<void()>& work) {
  Capture capture(stream);
  work();
  return std::make_unique<CudaRecording>(capture.end());
}

}  // namespace hone::cuda
