#include "kernels/cuda/nccl.h"

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <numeric>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "kernels/check.h"
#include "kernels/shared_library.h"

namespace hone::cuda {
namespace {

// nccl.h is not needed for a few C functions: a communicator is an opaque pointer, and these have
// been so since NCCL 2.0 (ncclResult_t, ncclDataType_t, ncclRedOp_t, ncclUniqueId).
constexpr int kSuccess = 0;
constexpr int kFloat32 = 7;
constexpr int kSum = 0;
struct UniqueId {
  char bytes[128];
};

// Name here, name there, type.
#define NCCL_FUNCTIONS(X)                                                                        \
  X(version, "ncclGetVersion", int(int*))                                                        \
  X(unique_id, "ncclGetUniqueId", int(UniqueId*))                                                \
  X(init_rank, "ncclCommInitRank", int(void** communicator, int size, UniqueId, int rank))       \
  X(destroy, "ncclCommDestroy", int(void* communicator))                                         \
  X(abort, "ncclCommAbort", int(void* communicator))                                             \
  X(error_string, "ncclGetErrorString", const char*(int))                                        \
  X(group_start, "ncclGroupStart", int())                                                        \
  X(group_end, "ncclGroupEnd", int())                                                            \
  X(all_reduce, "ncclAllReduce",                                                                 \
    int(const void* from, void* to, size_t, int type, int op, void* communicator, void* stream)) \
  X(broadcast, "ncclBroadcast",                                                                  \
    int(const void* from, void* to, size_t, int type, int root, void* communicator, void* stream))

struct Library {
#define X(member, name, ...) std::add_pointer_t<__VA_ARGS__> member = nullptr;
  NCCL_FUNCTIONS(X)
#undef X

  // False where one of the functions is missing.
  bool find(void* handle) {
    bool all = true;
#define X(member, name, ...) \
  all = all && (member = reinterpret_cast<decltype(member)>(dlsym(handle, name))) != nullptr;
    NCCL_FUNCTIONS(X)
#undef X
    return all;
  }
  void must(int result, const char* what) const {
    if (result != kSuccess) {
      throw std::runtime_error(std::string("NCCL: ") + what + ": " + error_string(result));
    }
  }
};

// Opened once; it stays.
const Library* open_library(std::string* why) {
  static Library library;
  static bool complete = false;
  if (complete) return &library;
  const char* const chosen = std::getenv("HONE_NCCL");
  void* const handle = dlopen(chosen ? chosen : "libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
  complete = handle && library.find(handle);
  if (!complete) *why = library_fault();
  return complete ? &library : nullptr;
}

// 22809 for 2.28.9; before 2.9, 2804 for 2.8.4.
int version_of(const Library& nccl) {
  int version = 0;
  nccl.must(nccl.version(&version), "version");
  return version;
}
constexpr int kFirstRecorded = 10000;  // any of 2.9, with which work can be recorded

std::string version_text(int version) {
  const int minors = version < kFirstRecorded ? 10 : 100;
  return "NCCL " + std::to_string(version / 100 / minors) + "." +
         std::to_string(version / 100 % minors) + "." + std::to_string(version % 100);
}

class NcclGroup final : public DeviceGroup {
 public:
  NcclGroup(const Library& nccl, Context& context, int rank, void* communicator)
      : nccl_(nccl),
        context_(context),
        transport_(version_text(version_of(nccl))),
        rank_(rank),
        communicator_(communicator) {}
  // NCCL ends a communicator when all ranks of the machine do. Where this rank fails, the others
  // wait in their streams; where another did, work is left that waits for it: then only an abort
  // returns.
  ~NcclGroup() override {
    const bool together =
        !abandoned_ && std::uncaught_exceptions() == 0 && is_idle(context_.stream);
    (together ? nccl_.destroy : nccl_.abort)(communicator_);
  }
  void abandon() { abandoned_ = true; }

  std::string_view transport() const override { return transport_; }

  void all_reduce_sum(const float* x, float* out, int64_t count) override {
    if (context_.stream.dry) return;
    call_on_stream(context_.stream, [this, x, out, count](void* stream) {
      nccl_.must(nccl_.all_reduce(x, out, static_cast<size_t>(count), kFloat32, kSum, communicator_,
                                  stream),
                 "all-reduce");
    });
  }

  void all_gather_columns(const float* x, float* out, int64_t rows,
                          std::span<const int64_t> columns) override {
    if (rows == 1) return gather_parts(x, out, 1, columns);
    const int64_t whole = std::accumulate(columns.begin(), columns.end(), int64_t{0});
    auto* parts = reinterpret_cast<float*>(
        context_.scratch.reserve(static_cast<size_t>(rows * whole) * sizeof(float)));
    if (context_.stream.dry) return;
    gather_parts(x, parts, rows, columns);
    for (const int64_t width : columns) {
      const auto bytes = static_cast<size_t>(width) * sizeof(float);
      copy_rows_on_device(context_.stream, {.to = out,
                                            .to_pitch = static_cast<size_t>(whole) * sizeof(float),
                                            .from = parts,
                                            .from_pitch = bytes,
                                            .bytes = bytes,
                                            .rows = static_cast<size_t>(rows)});
      out += width;
      parts += rows * width;
    }
  }

 private:
  // The ranks' parts one after the other, [rows, columns[r]] each. Parts of unlike sizes: a
  // broadcast from each rank, together one operation.
  void gather_parts(const float* x, float* to, int64_t rows, std::span<const int64_t> columns) {
    if (context_.stream.dry) return;
    std::vector<size_t> counts;
    for (const int64_t width : columns) counts.push_back(static_cast<size_t>(rows * width));
    call_on_stream(context_.stream, [this, x, to, counts](void* stream) {
      nccl_.must(nccl_.group_start(), "all-gather");
      int fault = kSuccess;
      float* part = to;
      for (size_t r = 0; r < counts.size() && fault == kSuccess; part += counts[r++]) {
        const int root = static_cast<int>(r);
        fault = nccl_.broadcast(root == rank_ ? x : part, part, counts[r], kFloat32, root,
                                communicator_, stream);
      }
      // After a fault, too: in a group that was left open an abort would be one of its calls.
      const int end = nccl_.group_end();
      nccl_.must(fault != kSuccess ? fault : end, "all-gather");
    });
  }

  const Library& nccl_;
  Context& context_;
  std::string transport_;
  int rank_;
  void* communicator_;
  bool abandoned_ = false;
};

}  // namespace

std::string new_nccl_id(std::string* why) {
  const Library* const nccl = open_library(why);
  if (!nccl) return "";
  if (const int version = version_of(*nccl); version < kFirstRecorded) {
    *why = version_text(version) + " cannot be recorded, 2.9 can";
    return "";
  }
  UniqueId id;
  if (const int result = nccl->unique_id(&id); result != kSuccess) {
    *why = std::string("NCCL: ") + nccl->error_string(result);
    return "";
  }
  return {id.bytes, sizeof id.bytes};
}

std::unique_ptr<DeviceGroup> join_nccl(Context& context, const GroupMember& member,
                                       std::string* why) {
  const Library* const nccl = open_library(why);
  if (!nccl) return nullptr;
  UniqueId id;
  CHECK(member.id.size() == sizeof id.bytes);
  std::memcpy(id.bytes, member.id.data(), sizeof id.bytes);
  void* communicator = nullptr;
  const int result = nccl->init_rank(&communicator, member.size, id, member.rank);
  if (result != kSuccess) {
    *why = std::string("NCCL: ") + nccl->error_string(result);
    return nullptr;
  }
  return std::make_unique<NcclGroup>(*nccl, context, member.rank, communicator);
}

void leave_alone(std::unique_ptr<DeviceGroup> group) {
  if (group) static_cast<NcclGroup&>(*group).abandon();
}

}  // namespace hone::cuda
