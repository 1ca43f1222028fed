// The thread pool: one job at a time. Each thread has a share of the ranges, neighbours, which it
// takes one after the other through an atomic counter: so it reads memory front to back, as the
// hardware foresees. Who has finished takes from the shares of others, so that nobody waits long
// for a thread that the system put aside. An op of a small model lasts tens of microseconds, as
// long as a sleeping thread takes to wake, so idle threads look for work for a while before they
// sleep.
//
// A job is a door: the caller opens it, threads that see it open walk in, and the caller shuts it
// once all ranges are taken and waits for those inside. A thread that the system did not schedule
// in time never entered, and nobody waits for it.
#include "kernels/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/check.h"

namespace hone {
namespace {

constexpr auto kSpin = std::chrono::microseconds(40);

inline void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits until `word` is no longer `old`: spins at first, then sleeps in the kernel.
uint64_t wait_for_change(const std::atomic<uint64_t>& word, uint64_t old) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 64; ++i) {
      const uint64_t now = word.load(std::memory_order_acquire);
      if (now != old) return now;
      pause_briefly();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  word.wait(old, std::memory_order_acquire);
  return word.load(std::memory_order_acquire);
}

// Hardware threads of one core share this text ("0,4"); cores differ in it.
std::string core_of(int cpu) {
  std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) +
                     "/topology/thread_siblings_list");
  std::string siblings;
  if (std::getline(file, siblings) && !siblings.empty()) return siblings;
  return "cpu " + std::to_string(cpu);
}

// Ranges that are a thread's own until others have nothing to do.
struct alignas(64) Share {
  std::atomic<int64_t> next{0};  // first item that nobody has taken
  int64_t end = 0;
};

}  // namespace

int default_threads() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof mask, &mask) != 0) {
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  }
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &mask)) cores.insert(core_of(cpu));
  }
  return std::max<int>(1, static_cast<int>(cores.size()));
}

struct ThreadPool::State {
  // door: bits 0-15 threads inside, bit 16 open, bit 17 stop, from bit 18 the number of the job.
  static constexpr uint64_t kInside = 0xffff;
  static constexpr uint64_t kOpen = uint64_t{1} << 16;
  static constexpr uint64_t kStop = uint64_t{1} << 17;
  static constexpr uint64_t kNextJob = uint64_t{1} << 18;

  std::vector<std::thread> workers;
  alignas(64) std::atomic<uint64_t> door{0};
  // The job; written while the door is shut and nobody is inside.
  alignas(64) const std::function<void(int64_t, int64_t)>* body = nullptr;
  int64_t count = 0;
  int64_t grain = 1;
  std::vector<Share> shares;  // [threads]
  std::mutex error_mutex;
  std::exception_ptr error;

  explicit State(int threads) : shares(static_cast<size_t>(threads)) {}

  void share_out() {
    const int64_t ranges = (count + grain - 1) / grain;
    const int64_t threads = std::ssize(shares);
    int64_t begin = 0;
    for (int64_t i = 0; i < threads; ++i) {
      const int64_t end = ranges / threads * (i + 1) + ranges % threads * (i + 1) / threads;
      shares[i].next.store(begin * grain, std::memory_order_relaxed);
      shares[i].end = std::min(end * grain, count);
      begin = end;
    }
  }

  // Takes the ranges of share `own`, then those that others have left.
  void take_ranges(size_t own) {
    try {
      for (size_t i = 0; i < shares.size(); ++i) {
        Share& share = shares[(own + i) % shares.size()];
        while (share.next.load(std::memory_order_relaxed) < share.end) {
          const int64_t begin = share.next.fetch_add(grain, std::memory_order_relaxed);
          if (begin < share.end) (*body)(begin, std::min(begin + grain, share.end));
        }
      }
    } catch (...) {
      for (Share& share : shares) share.next.store(share.end, std::memory_order_relaxed);
      const std::lock_guard<std::mutex> lock(error_mutex);
      if (!error) error = std::current_exception();
    }
  }

  void leave() {
    door.fetch_sub(1, std::memory_order_acq_rel);
    door.notify_all();
  }

  void work(size_t own) {
    uint64_t seen = door.load(std::memory_order_acquire);
    while (!(seen & kStop)) {
      if ((seen & kOpen) &&
          door.compare_exchange_strong(seen, seen + 1, std::memory_order_acq_rel)) {
        take_ranges(own);
        leave();
        seen = wait_while_open(seen / kNextJob);
      } else if (!(seen & kOpen)) {
        seen = wait_for_change(door, seen);
      }
    }
  }

  // All ranges of this job are taken; do not walk in again. The door may show the next one already.
  uint64_t wait_while_open(uint64_t job) {
    uint64_t now = door.load(std::memory_order_acquire);
    while ((now & kOpen) && !(now & kStop) && now / kNextJob == job) {
      now = wait_for_change(door, now);
    }
    return now;
  }

  void stop() {
    door.fetch_or(kStop, std::memory_order_acq_rel);
    door.notify_all();
    for (std::thread& worker : workers) worker.join();
  }

  void run_job() {
    share_out();
    door.fetch_add(kNextJob + kOpen, std::memory_order_acq_rel);
    door.notify_all();
    take_ranges(0);
    uint64_t now = door.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
    while (now & kInside) now = wait_for_change(door, now);
  }
};

ThreadPool::ThreadPool(int threads) {
  CHECK(threads >= 1 && threads <= 4096);
  state_ = std::make_unique<State>(threads);
  try {
    for (int i = 1; i < threads; ++i) {
      state_->workers.emplace_back(
          [state = state_.get(), i] { state->work(static_cast<size_t>(i)); });
    }
  } catch (...) {  // the system has no more threads
    state_->stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { state_->stop(); }

int ThreadPool::threads() const { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::parallel_for(int64_t count, int64_t grain,
                              const std::function<void(int64_t begin, int64_t end)>& body) {
  CHECK(grain >= 1);
  if (count <= 0) return;
  if (state_->workers.empty() || count <= grain) {
    for (int64_t begin = 0; begin < count; begin += grain) {
      body(begin, std::min(begin + grain, count));
    }
    return;
  }
  CHECK(!(state_->door.load(std::memory_order_relaxed) & State::kOpen));
  state_->body = &body;
  state_->count = count;
  state_->grain = grain;
  state_->run_job();
  if (state_->error) std::rethrow_exception(std::exchange(state_->error, nullptr));
}

}  // namespace hone
