#include "libcommon/compress/buffers.h"

#include <iterator>
#include <utility>

namespace hone {

bool BufferPool::wait_for_room(State& state, std::unique_lock<std::mutex>& lock, int64_t size) {
  state.returned.wait(
      lock, [&] { return state.closed || state.used == 0 || state.used + size <= state.limit; });
  return !state.closed;
}

std::shared_ptr<Bytes> BufferPool::own(Bytes bytes) {
  const auto size = static_cast<int64_t>(bytes.size());
  auto give_back = [state = state_, size](Bytes* buffer) {
    const std::unique_ptr<Bytes> owned(buffer);
    const std::lock_guard lock(state->mutex);
    state->used -= size;
    if (static_cast<int64_t>(buffer->capacity()) <= kKeptBytes &&
        std::ssize(state->free) < kKeptBuffers) {
      state->free.push_back(std::move(*buffer));
    }
    state->returned.notify_all();
  };
  return {new Bytes(std::move(bytes)), give_back};
}

std::shared_ptr<Bytes> BufferPool::take(int64_t size) {
  Bytes bytes;
  {
    std::unique_lock lock(state_->mutex);
    if (!wait_for_room(*state_, lock, size)) return nullptr;
    state_->used += size;
    if (!state_->free.empty() && size <= kKeptBytes) {
      bytes = std::move(state_->free.front());
      state_->free.pop_front();
    }
  }
  if (static_cast<int64_t>(bytes.capacity()) < size) bytes = Bytes();  // growing would double it
  bytes.resize(static_cast<size_t>(size));
  return own(std::move(bytes));
}

std::shared_ptr<Bytes> BufferPool::adopt(Bytes bytes) {
  {
    std::unique_lock lock(state_->mutex);
    if (!wait_for_room(*state_, lock, static_cast<int64_t>(bytes.size()))) return nullptr;
    state_->used += static_cast<int64_t>(bytes.size());
  }
  return own(std::move(bytes));
}

Bytes BufferPool::scratch() {
  const std::lock_guard lock(state_->mutex);
  if (state_->free.empty()) return {};
  Bytes bytes = std::move(state_->free.front());
  state_->free.pop_front();
  bytes.clear();
  return bytes;
}

void BufferPool::close() {
  const std::lock_guard lock(state_->mutex);
  state_->closed = true;
  state_->returned.notify_all();
}

}  // namespace hone
