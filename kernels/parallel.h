// A pool of threads that meet at every op. Work is cut by row ranges that depend on the problem
// only, never on the number of threads, so results have the same bytes for any thread count.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace hone {

// Physical cores in this process's affinity mask: the default of --threads.
int default_threads();

class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;

  // Calls body(begin, end) for consecutive ranges that cover [0, count), each of `grain` items but
  // the last; returns when all are done. The caller works too. Not reentrant. An exception thrown
  // by a body reaches the caller after all threads have stopped.
  void parallel_for(int64_t count, int64_t grain,
                    const std::function<void(int64_t begin, int64_t end)>& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hone
