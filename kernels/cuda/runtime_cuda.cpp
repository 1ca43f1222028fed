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

simt::Stream make_stream() {
  simt::Stream stream;
  int device = 0;
  must(cudaGetDevice(&device), "cudaGetDevice");
  stream.overlap = attribute(cudaDevAttrComputeCapabilityMajor, device) >= 9;
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

// Relaxed: the first run of an op may allocate its scratch memory while it is recorded.
void begin_recording(simt::Stream stream) {
  must(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeRelaxed), "begin of recording");
}

std::unique_ptr<Recording> end_recording(simt::Stream stream) {
  cudaGraph_t graph = nullptr;
  must(cudaStreamEndCapture(stream.handle, &graph), "end of recording");
  return std::make_unique<CudaRecording>(graph);
}

}  // namespace hone::cuda
