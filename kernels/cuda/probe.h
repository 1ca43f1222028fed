#pragma once

#include "kernels/cuda/cuda_ops.h"
#include "kernels/probe.h"

namespace hone::cuda {

// Whether kernels may start before the one ahead has ended: from 90 on a device can, and kernels
// compiled for it wait by themselves. Throws where there are none for the device at hand.
bool may_overlap(const DeviceInfo& device);

// Reading up to 4 GiB front to back, and the library's bf16 product (0 without a library), each the
// best of several passes; takes device memory and a few tens of milliseconds.
MachinePeaks measure_peaks(Context& context);

}  // namespace hone::cuda
