// Ranks by MPI. The program itself does not link MPI: libhone-mpi.so, built where MPI is and lying
// beside libhone.so, does, and is opened when ranks are asked for. A build or a machine without MPI
// has no such file, and lacks nothing else.
#pragma once

#include <memory>
#include <string>

#include "libcommon/ranks/communicator.h"

namespace hone {

// All processes that the launcher started. Null, and *why in one sentence, where there is no MPI.
std::unique_ptr<Communicator> open_mpi(std::string* why);

// What libhone-mpi.so shows: one C function that returns this.
struct MpiPlugin {
  std::string_view version;
  std::unique_ptr<Communicator> (*open)();
};
using MpiPluginEntry = const MpiPlugin*();

inline constexpr const char* kMpiPluginEntry = "hone_mpi_plugin";
inline constexpr std::string_view kMpiPluginVersion = HONE_VERSION;

}  // namespace hone
