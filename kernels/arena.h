// Memory of matrices, which stay until the backend closes: few large pieces. On a device thousands
// of small ones would each take a page; on the host they get no huge pages, in which tiles are read
// a tenth faster.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace hone {

// Of memory that the two functions take and give back.
template <auto kAllocate, auto kRelease>
class Arena {
 public:
  // piece: bytes that are taken at once, at least; 0: each request on its own.
  explicit Arena(size_t piece) : piece_(piece) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() {
    for (std::byte* piece : pieces_) kRelease(piece);
  }

  // What a request takes.
  static size_t rounded(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

  // One piece for so many rounded bytes to come: else what is left at the ends of pieces, a tenth
  // of a model and more, is for nobody, and a model that should fit does not.
  void reserve(size_t bytes) {
    if (piece_ > 0 && bytes > left_) begin_piece(bytes);
  }

  std::byte* take(size_t bytes) {
    bytes = rounded(bytes);
    if (bytes > left_) begin_piece(std::max(bytes, piece_));
    left_ -= bytes;
    return std::exchange(next_, next_ + bytes);
  }

 private:
  static constexpr size_t kAlignment = 256;

  void begin_piece(size_t bytes) {
    pieces_.push_back(static_cast<std::byte*>(kAllocate(bytes)));
    next_ = pieces_.back();
    left_ = bytes;
  }

  size_t piece_;
  std::vector<std::byte*> pieces_;
  std::byte* next_ = nullptr;
  size_t left_ = 0;
};

}  // namespace hone
