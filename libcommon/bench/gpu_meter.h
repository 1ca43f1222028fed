// What an NVIDIA GPU uses and how it runs, by NVML: the driver's libnvidia-ml.so.1, opened at run
// time. HONE_NVML names another file (tests bring their own). What the library or the device does
// not tell is missing, never an error.
//
// The energy counter moves in steps of 20 to 100 ms: what lasts seconds is measured well, a single
// token is not.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace hone {

struct GpuState {
  std::optional<double> watts;
  std::optional<int64_t> sm_megahertz;
  std::optional<int64_t> memory_megahertz;
  std::optional<std::string> slowed_by;  // "power, heat"; "" nothing
};

class GpuMeter {
 public:
  // bus_id: Backend::bus_id(); NVML counts devices in another order than CUDA. Without a library or
  // such a device the meter knows nothing.
  explicit GpuMeter(std::string_view bus_id);

  std::optional<double> joules() const;  // since the driver was loaded
  GpuState state() const;

 private:
  struct Library;
  std::shared_ptr<const Library> library_;  // null: none
  void* device_ = nullptr;
};

// What a GPU uses while the same work runs again and again.
class GpuUse {
 public:
  explicit GpuUse(std::string_view bus_id) : meter_(bus_id) {}

  void begin_run() { before_ = meter_.joules(); }
  void end_run();
  // The mean of all runs but the first, which may prepare what the others use.
  std::optional<double> joules_per_run() const;
  const GpuState& state() const { return state_; }  // at the end of the last run

 private:
  GpuMeter meter_;
  int64_t runs_ = 0;
  std::optional<double> before_, joules_;
  GpuState state_;
};

}  // namespace hone
