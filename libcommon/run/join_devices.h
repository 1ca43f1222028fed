// Devices of ranks that share a model and pass sums to each other, where they can.
#pragma once

#include "kernels/backend.h"
#include "libcommon/ranks/communicator.h"

namespace hone {

// Makes one group of all ranks' devices if each has what that needs, and says with -v by what sums
// go. Every rank calls it. Otherwise, and on a CPU, they pass through the host's memory.
void join_devices(Backend& backend, Communicator& ranks);

// "NCCL 2.28.9"; "MPI": from host to host.
std::string transport_of(Backend& backend);

}  // namespace hone
