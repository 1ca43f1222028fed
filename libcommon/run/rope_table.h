// The frequencies that a step's tokens turn with: one set for all, or under dynamic scaling one for
// each length beyond the trained context. They lie in the backend's memory.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "libcommon/graph/buffer.h"
#include "libcommon/graph/execute.h"
#include "libcommon/model/spec.h"

namespace hone {

class RopeTable {
 public:
  RopeTable(Backend& backend, const ModelSpec& spec);

  // Runs of tokens with equal frequencies. lengths[i]: positions that token i's sequence has at the
  // end of the call. Valid until the next call.
  std::span<const RopeRun> runs(std::span<const int64_t> lengths);

  // True where runs() depends on the lengths.
  bool depends_on_length() const { return dynamic_; }

 private:
  Buffer placed(int64_t length) const;
  const double* frequencies(int64_t length);

  Backend& backend_;
  const ModelSpec& spec_;
  bool dynamic_;
  Buffer base_;
  std::vector<std::pair<int64_t, Buffer>> stretched_;  // of this call, by length
  std::vector<RopeRun> runs_;
};

}  // namespace hone
