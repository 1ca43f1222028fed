// What is said of devices and drivers that do not serve, and that nothing is left of a backend that
// could not be opened.
#include "kernels/cuda/faults.h"

#include "kernels/out_of_device_memory.h"
#include "tests/cuda/fixture.h"

using namespace hone;
using cuda::no_device;

TEST_CASE("faults: no device, a hidden one, a driver older than the toolkit") {
  CHECK(no_device({.devices = 2}, 0) == "");
  CHECK(no_device({.devices = 2}, 1) == "");
  CHECK(no_device({.devices = 2}, 2) == "cuda: no device 2; there are 2");
  CHECK(no_device({.devices = 2}, -1) == "cuda: no device -1; there are 2");
  CHECK(no_device({.devices = 1, .visible = "3"}, 3) ==
        "cuda: no device 3; there are 1; CUDA_VISIBLE_DEVICES is '3'");
  CHECK(no_device({.devices = 1, .visible = "3"}, 0) == "");
  CHECK(no_device({.error = "no CUDA-capable device is detected", .visible = ""}, 0) ==
        "cuda: no NVIDIA device here (no CUDA-capable device is detected); CUDA_VISIBLE_DEVICES is "
        "''");
  CHECK(
      no_device({.error = "insufficient", .too_old = true, .driver = 12040, .runtime = 13000}, 0) ==
      "cuda: the NVIDIA driver knows CUDA up to 12.4, hone was built with 13.0; "
      "update the driver, or build hone with an older toolkit");
  CHECK(no_device({.error = "insufficient", .too_old = true, .runtime = 13000}, 0) ==
        "cuda: no NVIDIA device here (insufficient)");
}

TEST_CASE("faults: a device without kernels, or one that fails as it is opened") {
  cuda::DeviceInfo device = {.name = "Tesla T4", .index = 1, .architecture = 75};
  CHECK(cuda::no_kernels(device) ==
        "cuda: Tesla T4 has compute capability 7.5; hone's kernels need 8.0 or later");
  CHECK(cuda::unusable(device, "cuda: launch: no") ==
        "cuda: launch: no (Tesla T4, compute capability 7.5)");
  device.architecture = 80;
  CHECK(cuda::no_kernels(device) == "");
  CHECK(cuda::unusable({.index = 1}, "cuda: busy") == "cuda: busy (device 1)");
}

TEST_CASE("faults: what is asked for and what is free") {
  CHECK(cuda::out_of_memory(size_t{3} << 20, 512 << 10) ==
        "cuda: out of device memory: 3.0 MiB asked for, 0.5 MiB free; does another program use the "
        "GPU?");
  CHECK(cuda::out_of_memory(size_t{5} << 30, size_t{5} << 29) ==
        "cuda: out of device memory: 5.00 GiB asked for, 2.50 GiB free; does another program use "
        "the GPU?");
  CHECK_THROWS_AS(device().allocate(size_t{1} << 48), OutOfDeviceMemory);
  CHECK_NOTHROW(device().release(device().allocate(16)));  // and none is left behind
}

#ifndef __CUDACC__
TEST_CASE("faults: a device whose memory others have is not opened") {
  std::string why;
  const size_t used = simt::emu::device_bytes_in_use();
  const size_t limit = std::exchange(simt::emu::config().device_bytes, used);
  CHECK(open_cuda_device(0, &why) == nullptr);
  simt::emu::config().device_bytes = limit;
  CHECK(why.find("cuda: out of device memory: 0.0 MiB asked for, 0.0 MiB free;") == 0);
  CHECK(why.find("(emulator, compute capability 9.0)") != std::string::npos);
  CHECK(open_cuda_device(9, &why) == nullptr);
  CHECK(why == "cuda: no device 9; there are 4");
  CHECK(open_cuda_device(0, &why) != nullptr);
  CHECK(simt::emu::device_bytes_in_use() == used);
}
#endif
