// A driver, libcuda.so.1, without a device: of the version of CUDA that FAKE_CUDA_VERSION names,
// 12040 for 12.4. What the CUDA runtime asks of it beside the version finds no device.
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int kSuccess = 0, kNoDevice = 100;

int no_device() { return kNoDevice; }

}  // namespace

extern "C" {

int cuInit(unsigned) { return kNoDevice; }

int cuDriverGetVersion(int* version) {
  const char* const text = std::getenv("FAKE_CUDA_VERSION");
  *version = text ? std::atoi(text) : 0;
  return kSuccess;
}

int cuGetProcAddress_v2(const char* name, void** function, int, uint64_t, int* status) {
  const auto is = [&](const char* known) { return std::strcmp(name, known) == 0; };
  *function = is("cuDriverGetVersion") ? reinterpret_cast<void*>(cuDriverGetVersion)
              : is("cuGetProcAddress") ? reinterpret_cast<void*>(cuGetProcAddress_v2)
                                       : reinterpret_cast<void*>(no_device);
  if (status) *status = kSuccess;
  return kSuccess;
}
}
