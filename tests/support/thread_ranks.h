// Ranks as threads of one process, which read each other's memory: the transport of tests.
#pragma once

#include <barrier>
#include <cstring>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

#include "libcommon/ranks/communicator.h"
#include "tests/support/doctest.h"

namespace hone::test {

struct ThreadRanks {
  explicit ThreadRanks(int count) : size(count), together(count), posted(count) {}
  int size;
  std::barrier<> together;
  std::vector<std::span<const Message>> posted;  // by rank
};

class ThreadCommunicator : public Communicator {
 public:
  ThreadCommunicator(ThreadRanks& all, int rank) : all_(all), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return all_.size; }
  int local_rank() const override { return rank_; }

  void exchange(std::span<const Message> messages) override {
    all_.posted[static_cast<size_t>(rank_)] = messages;
    all_.together.arrive_and_wait();
    for (int r = 0; r < all_.size; ++r) {
      const Message& mine = messages[static_cast<size_t>(r)];
      if (r == rank_ || mine.receive_bytes == 0) continue;
      const Message& theirs = all_.posted[static_cast<size_t>(r)][static_cast<size_t>(rank_)];
      if (theirs.send_bytes != mine.receive_bytes) std::abort();
      std::memcpy(mine.receive, theirs.send, mine.receive_bytes);
    }
    all_.together.arrive_and_wait();
  }

  std::vector<int> finish(int outcome) override { return {outcome}; }

 private:
  ThreadRanks& all_;
  int rank_;
};

// Runs body(communicator) on `count` ranks. What they throw, all alike, is thrown here.
inline void on_ranks(int count, const std::function<void(Communicator&)>& body) {
  ThreadRanks all(count);
  std::vector<std::exception_ptr> faults(static_cast<size_t>(count));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < count; ++rank) {
    threads.emplace_back([&, rank] {
      ThreadCommunicator communicator(all, rank);
      try {
        body(communicator);
      } catch (...) {
        faults[static_cast<size_t>(rank)] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& fault : faults) {
    if (fault) std::rethrow_exception(fault);
  }
}

}  // namespace hone::test
