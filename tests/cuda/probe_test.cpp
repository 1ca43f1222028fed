// What the device can do, measured: no figure of an emulator is worth a look, but the kernel is
// run.
#include "tests/cuda/fixture.h"

using namespace hone;

TEST_CASE("probe: memory is read at some rate") {
#ifndef __CUDACC__
  const size_t all = simt::emu::config().device_bytes;
  simt::emu::config().device_bytes = simt::emu::device_bytes_in_use() + (size_t{2} << 20);
#endif
  CHECK(device().measure_peaks().read_bytes_per_second > 0);
#ifndef __CUDACC__
  simt::emu::config().device_bytes = all;
#endif
}
