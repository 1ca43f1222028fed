// Memory between the threads of a pipeline: buffers whose sum is bounded, and a queue of items.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "libcommon/compress/transform.h"

namespace hone {

// Hands out buffers while their sum stays within a limit; take() waits for others to come back. A
// buffer larger than the limit is given out alone. Buffers are used again: fresh pages cost more
// than the copy into them.
class BufferPool {
 public:
  static constexpr int64_t kKeptBuffers = 4;  // at rest, of at most kKeptBytes; not counted
  static constexpr int64_t kKeptBytes = 8 << 20;

  explicit BufferPool(int64_t limit) : state_(std::make_shared<State>()) { state_->limit = limit; }

  // Null after close(). The buffer goes back when its last owner drops it.
  std::shared_ptr<Bytes> take(int64_t size);
  // The same for bytes whose number is known only after they were made.
  std::shared_ptr<Bytes> adopt(Bytes bytes);
  Bytes scratch();  // empty, with some capacity; not counted
  void close();

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable returned;
    int64_t limit = 0;
    int64_t used = 0;
    bool closed = false;
    std::deque<Bytes> free;
  };
  static bool wait_for_room(State& state, std::unique_lock<std::mutex>& lock, int64_t size);
  std::shared_ptr<Bytes> own(Bytes bytes);
  std::shared_ptr<State> state_;
};

// Items in order from one thread to another. Unbounded: the buffers in the items are what is
// bounded. Closed, it takes no more: a producer that has not yet heard of an abort cannot slip
// in an item whose predecessors were dropped.
template <typename T>
class Queue {
 public:
  void push(T item) {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    items_.push_back(std::move(item));
    changed_.notify_one();
  }
  // Waits; nothing once closed and, unless aborted, empty.
  std::optional<T> pop() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !items_.empty() || closed_; });
    if (items_.empty()) return std::nullopt;
    T item = std::move(items_.front());
    items_.pop_front();
    return item;
  }
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }
  void abort() {
    std::deque<T> dropped;  // destroyed after the lock: items may return buffers
    const std::lock_guard lock(mutex_);
    dropped.swap(items_);
    closed_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> items_;
  bool closed_ = false;
};

}  // namespace hone
