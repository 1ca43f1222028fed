// libhone-mpi.so: messages between ranks by MPI, point to point. Faults are noticed while waiting:
// each rank, when it ends, sends its outcome to all others beside the other traffic.
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <memory>
#include <vector>

#include "kernels/check.h"
#include "libcommon/ranks/mpi.h"

namespace hone {
namespace {

constexpr int kTraffic = 1;
constexpr int kOutcome = 2;
constexpr int kTurnsPerLook = 64;  // between looking for outcomes while waiting
constexpr int kStillRunning = -1;
// A rank that has failed waits so long for the others' outcomes. Who does not answer waits for it
// in its device's queue, where it hears nothing, and is ended by the launcher.
constexpr std::chrono::seconds kPatience(3);

int count_of(size_t bytes) {
  CHECK(bytes <= INT_MAX);
  return static_cast<int>(bytes);
}

class MpiCommunicator : public Communicator {
 public:
  MpiCommunicator() {
    int provided = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
    MPI_Comm here = MPI_COMM_NULL;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here);
    MPI_Comm_rank(here, &local_rank_);
    MPI_Comm_free(&here);
    outcomes_.assign(static_cast<size_t>(size_), kStillRunning);
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return local_rank_; }

  void exchange(std::span<const Message> messages) override {
    CHECK(messages.size() == outcomes_.size());
    std::vector<MPI_Request> requests;
    for (int r = 0; r < size_; ++r) {
      const Message& message = messages[static_cast<size_t>(r)];
      if (r == rank_ || message.receive_bytes == 0) continue;
      MPI_Irecv(message.receive, count_of(message.receive_bytes), MPI_BYTE, r, kTraffic,
                MPI_COMM_WORLD, &requests.emplace_back());
    }
    const size_t receives = requests.size();
    for (int r = 0; r < size_; ++r) {
      const Message& message = messages[static_cast<size_t>(r)];
      if (r == rank_ || message.send_bytes == 0) continue;
      MPI_Isend(message.send, count_of(message.send_bytes), MPI_BYTE, r, kTraffic, MPI_COMM_WORLD,
                &requests.emplace_back());
    }
    if (arrived(requests)) return;
    settle(0, std::span(requests).first(receives));
    throw RankFailed();
  }

  std::vector<int> finish(int outcome) override {
    if (!settled_) settle(outcome, {});
    if (!abandoned_) {
      MPI_Finalize();
      return outcomes_;
    }
    std::vector<int> known = outcomes_;
    std::replace(known.begin(), known.end(), kStillRunning, 0);
    return known;
  }

 private:
  // Waits for the requests; false when a rank has failed meanwhile.
  bool arrived(std::vector<MPI_Request>& requests) {
    for (int turn = 1;; ++turn) {
      int done = 0;
      MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE);
      if (done) return true;
      if (turn % kTurnsPerLook == 0 && some_rank_failed()) return false;
    }
  }

  // Tells all others how this rank ended, hears how they did, and gives up receives under way.
  // After the barrier nobody reads or writes the messages of a broken exchange any more.
  void settle(int outcome, std::span<MPI_Request> receives) {
    std::vector<MPI_Request> requests;
    outcomes_[static_cast<size_t>(rank_)] = outcome;
    for (int r = 0; r < size_; ++r) {
      if (r == rank_) continue;
      MPI_Isend(&outcome, 1, MPI_INT, r, kOutcome, MPI_COMM_WORLD, &requests.emplace_back());
    }
    for (int r = 0; r < size_; ++r) {
      int& theirs = outcomes_[static_cast<size_t>(r)];
      if (theirs != kStillRunning) continue;
      MPI_Irecv(&theirs, 1, MPI_INT, r, kOutcome, MPI_COMM_WORLD, &requests.emplace_back());
    }
    settled_ = true;
    abandoned_ = !answered(requests, outcome != 0);
    if (abandoned_) return;
    for (MPI_Request& receive : receives) {
      if (receive == MPI_REQUEST_NULL) continue;
      MPI_Cancel(&receive);
      MPI_Wait(&receive, MPI_STATUS_IGNORE);
    }
    MPI_Barrier(MPI_COMM_WORLD);
  }

  // Waits for the requests; false when patience is at an end.
  static bool answered(std::vector<MPI_Request>& requests, bool impatient) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    for (int done = 0; !done;) {
      if (impatient && std::chrono::steady_clock::now() > end) return false;
      MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE);
    }
    return true;
  }

  bool some_rank_failed() {
    int waiting = 0;
    MPI_Status status;
    MPI_Iprobe(MPI_ANY_SOURCE, kOutcome, MPI_COMM_WORLD, &waiting, &status);
    if (!waiting) return false;
    int& theirs = outcomes_[static_cast<size_t>(status.MPI_SOURCE)];
    MPI_Recv(&theirs, 1, MPI_INT, status.MPI_SOURCE, kOutcome, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    return theirs != 0;
  }

  int rank_ = 0;
  int size_ = 1;
  int local_rank_ = 0;
  std::vector<int> outcomes_;  // by rank, as far as they are known
  bool settled_ = false;
  bool abandoned_ = false;  // a rank did not answer: MPI cannot be ended either
};

std::unique_ptr<Communicator> open() { return std::make_unique<MpiCommunicator>(); }

constexpr MpiPlugin kPlugin = {.version = kMpiPluginVersion, .open = open};

}  // namespace
}  // namespace hone

extern "C" const hone::MpiPlugin* hone_mpi_plugin() { return &hone::kPlugin; }
