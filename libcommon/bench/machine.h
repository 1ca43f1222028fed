// The machine and build that a figure belongs to, as the system tells it.
#pragma once

#include <cstdint>
#include <string>

#include "libcommon/io/json.h"

namespace hone {

// {"cpu": model name, "cores": n, "memory_bytes": n, "kernel": "...", "compiler": "...",
//  "hone": version}
Json machine_description();

int64_t peak_resident_bytes();  // of this process so far (VmHWM)
void forget_peak_resident();    // the peak is that of now on, where the kernel allows it

}  // namespace hone
