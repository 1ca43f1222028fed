// Weights from one safetensors source (file, bundle, stream) or from the shards of a directory.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libcommon/io/checkpoint.h"
#include "libcommon/io/extent_reader.h"
#include "libcommon/io/safetensors_header.h"

namespace hone {

class SafetensorsReader final : public CheckpointReader {
 public:
  explicit SafetensorsReader(std::string subject) { subject_ = std::move(subject); }

  // One file or stream, the whole model.
  void open_single(std::unique_ptr<ByteSource> source);
  // A shard, which must not be a stream. Returns its header, for the index.
  SafetensorsHeader add_shard(std::unique_ptr<ByteSource> source);
  CheckpointHeader& mutable_header() { return header_; }

  bool next() override;
  void read(std::span<std::byte> out) override;
  bool random_access() const override { return data_.mapped(); }
  void read_at(int64_t tensor, int64_t offset, std::span<std::byte> out) override;
  const std::byte* mapped(int64_t tensor) const override;
  Json trailer() const override { return statistics_; }

 private:
  void add_weights(std::vector<StoredTensor> weights, uint64_t data_start);
  void load_files(const std::vector<StoredTensor>& files, uint64_t data_start);
  void finish();

  ExtentReader data_;
  std::vector<Extent> weights_;  // of header_.tensors
  std::vector<Extent> trailer_;  // one for a hone-stream
  bool finished_ = false;
  Json statistics_;
};

}  // namespace hone
