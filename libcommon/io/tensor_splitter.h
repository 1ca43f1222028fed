// CheckpointWriter::write takes one flow of bytes; containers must act at its tensors' ends (pad,
// start the next shard). This counts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/check.h"
#include "libcommon/io/tensor_info.h"

namespace hone {

class TensorSplitter {
 public:
  TensorSplitter() = default;
  explicit TensorSplitter(const std::vector<TensorInfo>& tensors) {
    for (const TensorInfo& tensor : tensors) sizes_.push_back(static_cast<size_t>(tensor.bytes()));
  }

  // Calls write(part) for each part inside one tensor and ended(index) behind each tensor's last
  // byte; call it once with no bytes at the start, for leading empty tensors.
  template <class Write, class Ended>
  void feed(std::span<const std::byte> bytes, Write write, Ended ended) {
    for (;;) {
      while (index_ < sizes_.size() && inside_ == sizes_[index_]) {
        ended(index_++);
        inside_ = 0;
      }
      if (bytes.empty()) return;
      CHECK(index_ < sizes_.size());  // more bytes than the header announced
      const auto part = bytes.first(std::min(bytes.size(), sizes_[index_] - inside_));
      write(part);
      inside_ += part.size();
      bytes = bytes.subspan(part.size());
    }
  }

  bool complete() const { return index_ == sizes_.size(); }

 private:
  std::vector<size_t> sizes_;
  size_t index_ = 0;
  size_t inside_ = 0;
};

}  // namespace hone
