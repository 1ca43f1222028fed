// What happens to one tensor on its way through a stage: planned from its header alone, then
// carried out chunk of rows by chunk of rows, so that a stage holds a few megabytes whatever the
// model's size. Shared by prune (masks, structures) and quant (schemes), which do not know each
// other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <new>
#include <span>
#include <utility>
#include <vector>

#include "kernels/parallel.h"
#include "libcommon/io/checkpoint.h"

namespace hone {

// resize() leaves new elements as they are: buffers are written over at once, and filling them with
// zeros first cost as much as the copy of a tensor.
template <class T>
struct UninitializedAllocator : std::allocator<T> {
  template <class U>
  struct rebind {
    using other = UninitializedAllocator<U>;
  };
  template <class U>
  void construct(U* place) {
    ::new (static_cast<void*>(place)) U;
  }
  template <class U, class... Args>
  void construct(U* place, Args&&... args) {
    ::new (static_cast<void*>(place)) U(std::forward<Args>(args)...);
  }
};
using Bytes = std::vector<std::byte, UninitializedAllocator<std::byte>>;

// Neighbouring rows of a tensor as stored. Vectors are one row; scalars 1 x 1.
struct Chunk {
  int64_t first = 0;  // row
  int64_t count = 0;
  std::span<const std::byte> bytes;
};

// Whole small tensors that a transform needs before the first row (scales, zero points, positions),
// by index in the input header.
using SideTensors = std::map<int64_t, Bytes>;

// One object per tensor; its methods are called in this order, by one thread:
//   start, then scans() times all chunks through scan(), then all chunks through apply(), finish.
// A transform spreads its work over the pool itself. Its output must not depend on how the rows are
// cut into chunks nor on the number of threads.
class Transform {
 public:
  virtual ~Transform() = default;

  virtual int scans() const { return 0; }       // looks at all rows before the first is written
  virtual bool whole() const { return false; }  // needs all rows in one chunk
  virtual int64_t row_multiple() const { return 1; }  // chunks begin at multiples of so many rows

  virtual void start(const SideTensors&) {}
  virtual void scan(int /*pass*/, const Chunk&, ThreadPool&) {}
  // Bytes that follow in the step's outputs; `out` comes empty.
  virtual void apply(const Chunk& chunk, Bytes& out, ThreadPool& pool) = 0;
  // What is left of the outputs. Everything that grows with the tensor is given up here: a plan
  // holds the transforms of all tensors from beginning to end.
  virtual void finish(Bytes& out) { out.clear(); }
};

// Input tensor -> the bytes of `outputs`, one after the other.
struct Step {
  int64_t input = -1;          // streamed; index in the input header
  std::vector<int64_t> sides;  // read whole
  std::vector<TensorInfo> outputs;
  std::shared_ptr<Transform> transform;  // null: the bytes pass unchanged
};

}  // namespace hone
