#include "libcommon/bench/gpu_meter.h"

#include <dlfcn.h>

#include <cstdlib>
#include <utility>

namespace hone {
namespace {

// nvml.h is not needed for a few C functions: 0 is success, a device is an opaque pointer.
constexpr int kSuccess = 0;
constexpr int kSmClock = 1, kMemoryClock = 2;  // nvmlClockType_t

// Why clocks are lower than they could be (nvmlClocksEventReasons...): those that a measurement
// should know of, not idleness or what somebody set.
constexpr std::pair<unsigned long long, std::string_view> kSlowdowns[] = {{0x04, "power"},
                                                                          {0x08, "hardware"},
                                                                          {0x20, "heat"},
                                                                          {0x40, "heat (hardware)"},
                                                                          {0x80, "power brake"}};

template <typename Function>
Function* find(void* library, const char* name) {
  return reinterpret_cast<Function*>(dlsym(library, name));
}

// The value that a function writes, or nothing.
template <typename Value, typename Call>
std::optional<Value> ask(const Call& call) {
  Value value = 0;
  return call(&value) == kSuccess ? std::optional<Value>(value) : std::nullopt;
}

}  // namespace

// Each function may be missing.
struct GpuMeter::Library {
  explicit Library(void* handle)
      : handle(handle),
        init(find<int()>(handle, "nvmlInit_v2")),
        shutdown(find<int()>(handle, "nvmlShutdown")),
        by_bus_id(find<int(const char*, void**)>(handle, "nvmlDeviceGetHandleByPciBusId_v2")),
        energy(
            find<int(void*, unsigned long long*)>(handle, "nvmlDeviceGetTotalEnergyConsumption")),
        power(find<int(void*, unsigned*)>(handle, "nvmlDeviceGetPowerUsage")),
        clock(find<int(void*, int, unsigned*)>(handle, "nvmlDeviceGetClockInfo")),
        slowdowns(find<int(void*, unsigned long long*)>(
            handle, "nvmlDeviceGetCurrentClocksThrottleReasons")) {}
  ~Library() {
    if (shutdown) shutdown();
    dlclose(handle);
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  void* handle;
  int (*init)();
  int (*shutdown)();
  int (*by_bus_id)(const char*, void**);
  int (*energy)(void*, unsigned long long*);  // millijoules
  int (*power)(void*, unsigned*);             // milliwatts
  int (*clock)(void*, int, unsigned*);        // megahertz
  int (*slowdowns)(void*, unsigned long long*);
};

GpuMeter::GpuMeter(std::string_view bus_id) {
  if (bus_id.empty()) return;
  const char* const chosen = std::getenv("HONE_NVML");
  void* const handle = dlopen(chosen ? chosen : "libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!handle) return;
  const auto library = std::make_shared<const Library>(handle);
  if (!library->init || library->init() != kSuccess || !library->by_bus_id) return;
  if (library->by_bus_id(std::string(bus_id).c_str(), &device_) == kSuccess) library_ = library;
}

std::optional<double> GpuMeter::joules() const {
  if (!library_ || !library_->energy) return std::nullopt;
  const auto millijoules = ask<unsigned long long>(
      [&](unsigned long long* value) { return library_->energy(device_, value); });
  if (!millijoules) return std::nullopt;
  return static_cast<double>(*millijoules) / 1e3;
}

GpuState GpuMeter::state() const {
  GpuState state;
  if (!library_) return state;
  const Library& l = *library_;
  const auto clock = [&](int kind) -> std::optional<int64_t> {
    if (!l.clock) return std::nullopt;
    return ask<unsigned>([&](unsigned* value) { return l.clock(device_, kind, value); });
  };
  state.sm_megahertz = clock(kSmClock);
  state.memory_megahertz = clock(kMemoryClock);
  if (l.power) {
    const auto milliwatts = ask<unsigned>([&](unsigned* value) { return l.power(device_, value); });
    if (milliwatts) state.watts = *milliwatts / 1e3;
  }
  if (!l.slowdowns) return state;
  const auto reasons = ask<unsigned long long>(
      [&](unsigned long long* value) { return l.slowdowns(device_, value); });
  if (!reasons) return state;
  state.slowed_by = "";
  for (const auto& [bit, text] : kSlowdowns) {
    if ((*reasons & bit) == 0) continue;
    *state.slowed_by += (state.slowed_by->empty() ? "" : ", ") + std::string(text);
  }
  return state;
}

void GpuUse::end_run() {
  const std::optional<double> after = meter_.joules();
  if (runs_++ > 0 && before_ && after) joules_ = joules_.value_or(0) + *after - *before_;
  state_ = meter_.state();
}

std::optional<double> GpuUse::joules_per_run() const {
  if (!joules_) return std::nullopt;
  return *joules_ / static_cast<double>(runs_ - 1);
}

}  // namespace hone
