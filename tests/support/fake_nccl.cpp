// A library with NCCL's functions for processes of one machine: they meet in shared memory that the
// group's id names, and "device memory" is the emulator's. HONE_NCCL names it. On the rank that
// FAKE_NCCL_FAILS names, sums fail. FAKE_NCCL_VERSION: other than 10203.
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int kSuccess = 0, kSystemError = 2;
constexpr int kMostRanks = 4;
constexpr size_t kSlot = 1 << 12;  // floats that a rank gives at once

struct Shared {
  std::atomic<int> arrived, round, ended;
  float slots[kMostRanks][kSlot];
};

struct Communicator {
  Shared* shared;
  int rank, size;

  void meet() const {
    const int round = shared->round;
    if (++shared->arrived == size) {
      shared->arrived = 0;
      ++shared->round;
    }
    while (shared->round == round) sched_yield();
  }
};

struct UniqueId {
  char bytes[128];
};

// f(begin, count) for every piece that fits a slot; all ranks before it and behind it.
template <typename F>
void in_pieces(const Communicator& c, size_t count, F f) {
  for (size_t begin = 0; begin < count; begin += kSlot) {
    f(begin, std::min(kSlot, count - begin));
    c.meet();
  }
}

}  // namespace

extern "C" {

int ncclGetVersion(int* version) {
  const char* const text = std::getenv("FAKE_NCCL_VERSION");
  *version = text ? std::atoi(text) : 10203;
  return kSuccess;
}

const char* ncclGetErrorString(int) { return "fake fault"; }

int ncclGetUniqueId(UniqueId* id) {
  *id = {};
  std::snprintf(id->bytes, sizeof id->bytes, "/hone-fake-nccl-%d", static_cast<int>(getpid()));
  return kSuccess;
}

int ncclCommInitRank(void** communicator, int size, UniqueId id, int rank) {
  const int file = shm_open(id.bytes, O_RDWR | O_CREAT, 0600);
  if (size > kMostRanks || file < 0 || ftruncate(file, sizeof(Shared)) != 0) return kSystemError;
  void* const memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) return kSystemError;
  auto* const joined = new Communicator{static_cast<Shared*>(memory), rank, size};
  joined->meet();
  if (rank == 0) shm_unlink(id.bytes);
  *communicator = joined;
  return kSuccess;
}

int ncclCommAbort(void* communicator) {
  auto* const c = static_cast<Communicator*>(communicator);
  munmap(c->shared, sizeof(Shared));
  delete c;
  return kSuccess;
}
// Returns when all ranks are here.
int ncclCommDestroy(void* communicator) {
  auto* const c = static_cast<Communicator*>(communicator);
  ++c->shared->ended;
  while (c->shared->ended < c->size) sched_yield();
  return ncclCommAbort(communicator);
}

int ncclGroupStart() { return kSuccess; }
int ncclGroupEnd() { return kSuccess; }

int ncclAllReduce(const void* from, void* to, size_t count, int, int, void* communicator, void*) {
  const auto& c = *static_cast<Communicator*>(communicator);
  const char* const fails = std::getenv("FAKE_NCCL_FAILS");
  if (fails && std::atoi(fails) == c.rank) return kSystemError;
  in_pieces(c, count, [&](size_t begin, size_t n) {
    std::copy_n(static_cast<const float*>(from) + begin, n, c.shared->slots[c.rank]);
    c.meet();
    for (size_t i = 0; i < n; ++i) {
      float sum = c.shared->slots[0][i];
      for (int r = 1; r < c.size; ++r) sum += c.shared->slots[r][i];
      static_cast<float*>(to)[begin + i] = sum;
    }
  });
  return kSuccess;
}

int ncclBroadcast(const void* from, void* to, size_t count, int, int root, void* communicator,
                  void*) {
  const auto& c = *static_cast<Communicator*>(communicator);
  float* const slot = c.shared->slots[root];
  in_pieces(c, count, [&](size_t begin, size_t n) {
    if (c.rank == root) std::copy_n(static_cast<const float*>(from) + begin, n, slot);
    c.meet();
    std::copy_n(slot, n, static_cast<float*>(to) + begin);
  });
  return kSuccess;
}
}
