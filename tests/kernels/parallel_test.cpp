// The thread pool.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "kernels/parallel.h"
// Last: its CHECK.
#include "tests/support/doctest.h"

using namespace hone;

TEST_CASE("every item is visited once, in ranges of the grain") {
  for (const int threads : {1, 2, 3, 5}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == threads);
    for (const int64_t count : {0, 1, 2, 7, 8, 9, 1000}) {
      for (const int64_t grain : {1, 3, 8, 5000}) {
        std::vector<int> visits(count, 0);
        std::atomic<int> wrong{0};
        pool.parallel_for(count, grain, [&](int64_t begin, int64_t end) {
          if (begin % grain != 0 || (end - begin != grain && end != count)) ++wrong;
          for (int64_t i = begin; i < end; ++i) ++visits[i];
        });
        CHECK(wrong == 0);
        CHECK(std::count(visits.begin(), visits.end(), 1) == count);
      }
    }
  }
}

TEST_CASE("many jobs in a row, each seeing what the last one wrote") {
  ThreadPool pool(3);
  std::vector<int64_t> now(64, 0), last(64, 0);
  for (int job = 1; job < 2000; ++job) {
    std::swap(now, last);
    pool.parallel_for(64, 4, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) now[i] = last[63 - i] + 1;  // written by some thread
    });
    for (const int64_t v : now) REQUIRE(v == job);
  }
}

TEST_CASE("threads that slept wake up") {
  ThreadPool pool(4);
  for (int i = 0; i < 3; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::atomic<int64_t> sum{0};
    pool.parallel_for(100, 1, [&](int64_t begin, int64_t) { sum += begin; });
    CHECK(sum == 4950);
  }
}

TEST_CASE("more than one thread does work") {
  ThreadPool pool(2);
  std::atomic<int> inside{0};
  // Each of two ranges waits for the other: one thread alone would never finish.
  pool.parallel_for(2, 1, [&](int64_t, int64_t) {
    ++inside;
    while (inside < 2) std::this_thread::yield();
  });
  CHECK(inside == 2);
}

TEST_CASE("an exception reaches the caller, and the pool goes on") {
  for (const int threads : {1, 4}) {
    ThreadPool pool(threads);
    const auto faulty = [](int64_t begin, int64_t) {
      if (begin == 50) throw std::runtime_error("fifty");
    };
    for (int i = 0; i < 20; ++i) {
      CHECK_THROWS_WITH(pool.parallel_for(100, 1, faulty), "fifty");
      std::atomic<int> calls{0};
      pool.parallel_for(10, 1, [&](int64_t, int64_t) { ++calls; });
      CHECK(calls == 10);
    }
  }
}

TEST_CASE("default_threads is what the machine has at least one of") {
  CHECK(default_threads() >= 1);
  CHECK(default_threads() <= static_cast<int>(std::thread::hardware_concurrency()));
}
