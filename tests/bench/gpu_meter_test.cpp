// The meter over a library of NVML's functions, and over none.
#include "libcommon/bench/gpu_meter.h"

#include <doctest/doctest.h>

#include <cstdlib>

using namespace hone;

TEST_CASE("a GPU's energy, power, clocks and why it is slow") {
  setenv("HONE_NVML", HONE_FAKE_NVML, 1);
  const GpuMeter meter("0000:00:00.0");
  const auto before = meter.joules();
  const auto after = meter.joules();
  REQUIRE(before.has_value());
  CHECK(*after - *before == 2.5);
  const GpuState state = meter.state();
  CHECK(state.watts == 312.5);
  CHECK(state.sm_megahertz == 1980);
  CHECK_FALSE(state.memory_megahertz.has_value());
  CHECK(state.slowed_by == "power, heat");
  unsetenv("HONE_NVML");
}

TEST_CASE("what a run uses, without the first") {
  setenv("HONE_NVML", HONE_FAKE_NVML, 1);
  GpuUse use("0000:00:00.0");
  for (int run = 0; run < 4; ++run) {
    CHECK(use.joules_per_run().has_value() == (run > 1));
    use.begin_run();
    use.end_run();
  }
  CHECK(use.joules_per_run() == 2.5);
  CHECK(use.state().watts == 312.5);
  unsetenv("HONE_NVML");
}

TEST_CASE("what is not there is not told") {
  const auto tells_nothing = [](const char* library, const char* bus_id) {
    setenv("HONE_NVML", library, 1);
    const GpuMeter meter(bus_id);
    const GpuState state = meter.state();
    unsetenv("HONE_NVML");
    return !meter.joules() && !state.watts && !state.sm_megahertz && !state.slowed_by;
  };
  CHECK(tells_nothing("/nowhere.so", "0000:00:00.0"));
  CHECK(tells_nothing(HONE_FAKE_NVML, "0000:7F:00.0"));
  CHECK(tells_nothing(HONE_FAKE_NVML, ""));
  CHECK(tells_nothing("libm.so.6", "0000:00:00.0"));  // a library without the functions
}
