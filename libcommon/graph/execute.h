// Runs a planned graph on a backend for the tokens of one step.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "libcommon/graph/buffer.h"
#include "libcommon/graph/graph.h"
#include "libcommon/graph/plan.h"
#include "libcommon/graph/weight_table.h"
#include "libcommon/ranks/communicator.h"

namespace hone {

// One layer's keys and values, [sequences, kv_heads, capacity, head_dim] each, in tiles:
// kernels/kv_tile.h.
struct CacheLayer {
  std::byte* keys = nullptr;
  std::byte* values = nullptr;
  DType type = DType::kF32;
};

// Neighbouring tokens that turn with the same frequencies (they differ under dynamic scaling only).
struct RopeRun {
  int64_t begin = 0;
  int64_t count = 0;
  const double* inv_freq = nullptr;  // [rotary / 2]
};

// What a step feeds into the graph; all pointers in the backend's memory.
struct StepInputs {
  int64_t tokens = 0;
  int64_t wanted = 0;
  const int32_t* ids = nullptr;          // [tokens]
  const int32_t* sequences = nullptr;    // [tokens] slots
  const int32_t* positions = nullptr;    // [tokens]
  const int32_t* wanted_rows = nullptr;  // [wanted] indices into the tokens
  std::span<const RopeRun> rope;         // cover [0, tokens)
  std::span<const CacheLayer> cache;     // by layer
  int64_t capacity = 0;                  // positions in the cache, a multiple of kKvTile
};

// Host memory of what ranks tell each other, kept from step to step.
struct RankScratch {
  std::vector<float> parts;
  std::vector<float> in, out;  // of a backend with memory of its own
};

// Seconds by kind of node.
using OpTimes = std::map<OpKind, double>;

// True where the backend has a kernel for every form of the op.
bool has_kernel(const Backend& backend, OpKind op);

// A graph bound to a backend, weights in the backend's memory (placed_weights.h) and values there;
// what it refers to must outlive it. ranks: of a graph of one rank's part.
class Executor {
 public:
  Executor(Backend& backend, const Graph& graph, const WeightTable& weights,
           Communicator* ranks = nullptr);

  // Where the values lie. arena: plan.arena_bytes, in the backend's memory.
  void bind(const Plan& plan, std::byte* arena);

  // All nodes. wanted == 0 leaves out those that make logits.
  void run(const StepInputs& step) const;
  // One node, of this graph or of another with the same value ids.
  void run_node(const Node& node, const StepInputs& step) const;

  // From now on adds the time of every node that run() runs to *times, which must live on; null:
  // no more. On a GPU that is the time of starting it.
  void time_ops(OpTimes* times) { times_ = times; }

  float* buffer(int value) const { return buffers_[static_cast<size_t>(value)]; }
  void set_buffer(int value, float* memory) { buffers_[static_cast<size_t>(value)] = memory; }

 private:
  friend class NodeRunner;
  Backend& backend_;
  const Graph& graph_;
  const WeightTable& weights_;
  Communicator* ranks_;
  mutable RankScratch scratch_;
  OpTimes* times_ = nullptr;
  std::vector<float*> buffers_;                              // by value id
  std::map<int64_t, std::shared_ptr<const Buffer>> slopes_;  // ALiBi, by number of heads
};

}  // namespace hone
