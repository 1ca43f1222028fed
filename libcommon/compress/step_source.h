// The reading side of a pipeline: turns a reader and a list of steps into a sequence of items for
// the thread that works. Decides what is held whole and what is read again.
#pragma once

#include <functional>

#include "libcommon/compress/buffers.h"

namespace hone {

inline constexpr int64_t kChunkBytes = 4 << 20;
// A tensor that must be scanned first is held in memory up to this size (and, from a pipe, beyond);
// larger ones are read again.
inline constexpr int64_t kWholeBytes = 40 << 20;

struct SourceItem {
  enum class Kind { kStart, kScan, kRows, kEnd };
  Kind kind = Kind::kStart;
  size_t step = 0;
  int pass = 0;                        // of kScan
  Chunk chunk;                         // of kScan and kRows
  std::shared_ptr<Bytes> storage;      // keeps chunk.bytes alive
  std::shared_ptr<SideTensors> sides;  // of kStart
};

// Reads every step's input front to back, then to the end of the model (which verifies a stream's
// trailer). `emit` gets the items in order. Returns early, quietly, once `pool` is closed.
// Steps have ascending inputs.
void read_steps(CheckpointReader& reader, const std::vector<Step>& steps, BufferPool& pool,
                const std::function<void(SourceItem)>& emit);

// True where read_steps holds a whole tensor of `bytes` in memory for this step.
bool holds_whole(const Step& step, int64_t bytes, bool random_access);

}  // namespace hone
