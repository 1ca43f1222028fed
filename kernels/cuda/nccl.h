// A group of devices by NCCL, which is opened at run time: libnccl.so.2, or what HONE_NCCL names.
#pragma once

#include <memory>
#include <string>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/device_group.h"

namespace hone::cuda {

// A new group's id. "", and *why, where there is no NCCL.
std::string new_nccl_id(std::string* why);

// Waits for all ranks of the group. Null, and *why, where they cannot be joined. The context must
// outlive the group, recordings of its work must not.
std::unique_ptr<DeviceGroup> join_nccl(Context& context, const GroupMember& member,
                                       std::string* why);
// Ends what join_nccl() gave, or null, without the other ranks: some may not have joined.
void leave_alone(std::unique_ptr<DeviceGroup> group);

}  // namespace hone::cuda
