#include "libcommon/ranks/mpi.h"

#include "kernels/shared_library.h"

namespace hone {

// The plug-in stays open: its code runs as long as the communicator lives.
std::unique_ptr<Communicator> open_mpi(std::string* why) {
  const std::string file = "libhone-mpi.so";
  void* const library = dlopen((library_folder() + file).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    *why = "MPI is missing (" + library_fault() + "); install Open MPI, and build hone where it is";
    return nullptr;
  }
  const auto entry = reinterpret_cast<MpiPluginEntry*>(dlsym(library, kMpiPluginEntry));
  if (!entry || entry()->version != kMpiPluginVersion) {
    *why = file + " is of another version of hone; install both again";
    return nullptr;
  }
  return entry()->open();
}

}  // namespace hone
