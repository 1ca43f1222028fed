// Devices of several ranks that pass data to each other without the host. Every rank calls the same
// functions in the same order; what they do is work of the backend's stream, as ops are.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace hone {

// What a backend needs to become one of a group.
struct GroupMember {
  std::string id;  // of the group: Backend::group_id() of rank 0
  int rank = 0;
  int size = 1;
};

class DeviceGroup {
 public:
  virtual ~DeviceGroup() = default;
  virtual std::string_view transport() const = 0;  // "NCCL 2.28.9"

  // out[i] = x[i] of rank 0 + x[i] of rank 1 + ..., the same in every run. The order of the sum is
  // the transport's, and may depend on the count where there are more than two ranks. out may be x.
  virtual void all_reduce_sum(const float* x, float* out, int64_t count) = 0;

  // Rank r has columns[r] columns of each row, x [rows, columns[rank]]; out [rows, all columns] is
  // the whole, in the order of the ranks. out must not be x.
  virtual void all_gather_columns(const float* x, float* out, int64_t rows,
                                  std::span<const int64_t> columns) = 0;
};

}  // namespace hone
