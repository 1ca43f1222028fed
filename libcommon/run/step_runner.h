// Runs steps of a placed model: brings token ids in, gives the graph its memory, brings logits out.
// On a backend that can record, a step of few tokens is recorded the second time its shape comes,
// and replayed from then on: one call instead of one for each op.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "libcommon/graph/buffer.h"
#include "libcommon/graph/execute.h"
#include "libcommon/graph/plan.h"
#include "libcommon/run/device_model.h"
#include "libcommon/run/kv_cache.h"

namespace hone {

class StepRunner {
 public:
  // ranks: that share the model, or null.
  StepRunner(const DeviceModel& model, Communicator* ranks);

  // Bytes of activations and indices, now and with room for so many more tokens and logits.
  int64_t bytes() const { return arena_.bytes() + indices_.bytes(); }
  int64_t bytes_for(int64_t tokens, int64_t wanted) const;
  bool has_room(int64_t tokens, int64_t wanted) const {
    return tokens <= limits_.tokens && wanted <= limits_.wanted;
  }
  void make_room(int64_t tokens, int64_t wanted);

  // The tokens' logits, [wanted, vocab], valid until the next call. For all that fits the room.
  std::span<const float> run(std::span<const StepToken> tokens, std::span<const RopeRun> rope,
                             const KvCache& cache);
  // The same, and of each row of logits only the index of the largest (see the op argmax).
  std::span<const int32_t> run_argmax(std::span<const StepToken> tokens,
                                      std::span<const RopeRun> rope, const KvCache& cache);

  void time_ops(OpTimes* times) { executor_.time_ops(times); }

 private:
  struct Shape {
    int64_t tokens, wanted;
    bool argmax;
    auto operator<=>(const Shape&) const = default;
  };
  struct Recorded {
    int runs = 0;
    int recording = -1;
  };
  int64_t bring_in(std::span<const StepToken> tokens);
  StepInputs inputs(int64_t tokens, int64_t wanted, std::span<const RopeRun> rope,
                    const KvCache& cache) const;
  void run_ops(const StepInputs& step, bool argmax);
  void run_or_replay(const StepInputs& step, bool argmax);
  void forget_recordings();

  const DeviceModel& model_;
  Backend& backend_;
  bool alone_;
  Executor executor_;
  PlanLimits limits_ = {.tokens = 0, .wanted = 0};
  Buffer arena_;
  Buffer indices_;  // ids, sequences, positions, wanted rows, largest: limits_.tokens each
  std::vector<int32_t> host_indices_;
  std::vector<float> host_logits_;
  std::vector<int32_t> host_largest_;
  std::map<Shape, Recorded> recorded_;
  std::pair<const std::byte*, int64_t> recorded_cache_ = {nullptr, 0};
};

}  // namespace hone
