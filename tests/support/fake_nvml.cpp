// A library with NVML's functions and a GPU that uses 2.5 J between two readings. HONE_NVML names
// it.
#include <cstring>

namespace {
int device;
unsigned long long millijoules = 1000;
}  // namespace

extern "C" {

int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }

int nvmlDeviceGetHandleByPciBusId_v2(const char* bus_id, void** handle) {
  *handle = &device;
  return std::strcmp(bus_id, "0000:00:00.0") == 0 ? 0 : 6;  // not found
}

int nvmlDeviceGetTotalEnergyConsumption(void* handle, unsigned long long* value) {
  *value = millijoules += 2500;
  return handle == &device ? 0 : 2;
}

int nvmlDeviceGetPowerUsage(void*, unsigned* value) {
  *value = 312500;
  return 0;
}

int nvmlDeviceGetClockInfo(void*, int clock, unsigned* value) {
  *value = 1980;
  return clock == 1 ? 0 : 3;  // the memory's: not supported
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void*, unsigned long long* value) {
  *value = 0x01 | 0x04 | 0x20;  // idle, which does not count; power; heat
  return 0;
}
}
