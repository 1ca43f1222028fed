#include "libcommon/run/join_devices.h"

#include <algorithm>

#include "libcommon/base/log.h"

namespace hone {
namespace {

// Why not, or "" where all have joined.
std::string join(Backend& backend, Communicator& ranks) {
  std::string why;
  const std::vector<std::string> ids = all_gather_text(ranks, backend.group_id(&why));
  for (size_t r = 0; r < ids.size(); ++r) {
    if (ids[r].empty()) return why.empty() ? "rank " + std::to_string(r) + " has none" : why;
  }
  const GroupMember member = {.id = ids[0], .rank = ranks.rank(), .size = ranks.size()};
  const bool joined = backend.join_group(member, &why);
  if (!on_any_rank(&ranks, !joined)) return "";
  backend.leave_group();
  return why.empty() ? "another rank could not join" : why;
}

}  // namespace

void join_devices(Backend& backend, Communicator& ranks) {
  if (backend.shares_host_memory())
    return log_verbose("ranks pass sums by " + transport_of(backend));
  const std::string why = join(backend, ranks);
  log_verbose("ranks pass sums by " + transport_of(backend) +
              (why.empty() ? ", from device to device" : ", through the host (" + why + ")"));
}

std::string transport_of(Backend& backend) {
  const DeviceGroup* const group = backend.group();
  return group ? std::string(group->transport()) : "MPI";
}

}  // namespace hone
