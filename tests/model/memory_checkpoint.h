// A checkpoint in memory that plays a file or a pipe, and small tools around checkpoints.
#pragma once

#include <unistd.h>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "libcommon/base/error.h"
#include "libcommon/io/checkpoint.h"

namespace hone::testing {

using Bytes = std::vector<std::byte>;

class MemoryReader : public CheckpointReader {
 public:
  enum Kind { kPipe, kFile };  // a pipe is read once, a file is "mapped"

  MemoryReader(CheckpointHeader header, std::vector<Bytes> data, Kind kind)
      : data_(std::move(data)), kind_(kind) {
    header_ = std::move(header);
    subject_ = "memory";
  }

  bool next() override {
    if (index_ < static_cast<int64_t>(data_.size())) ++index_;
    position_ = 0;
    return index_ < static_cast<int64_t>(data_.size());
  }
  void read(std::span<std::byte> out) override {
    copy(index_, position_, out);
    position_ += static_cast<int64_t>(out.size());
  }
  bool random_access() const override { return kind_ == kFile; }
  void read_at(int64_t tensor, int64_t offset, std::span<std::byte> out) override {
    if (kind_ == kPipe) throw Error("a pipe was read at random");
    copy(tensor, offset, out);
  }
  const std::byte* mapped(int64_t tensor) const override {
    return kind_ == kFile ? data_[static_cast<size_t>(tensor)].data() : nullptr;
  }

 private:
  void copy(int64_t tensor, int64_t offset, std::span<std::byte> out) {
    const Bytes& bytes = data_.at(static_cast<size_t>(tensor));
    if (static_cast<size_t>(offset) + out.size() > bytes.size()) throw Error("truncated");
    if (!out.empty()) std::memcpy(out.data(), bytes.data() + offset, out.size());
  }

  std::vector<Bytes> data_;
  Kind kind_;
  int64_t position_ = 0;
};

inline Bytes read_current(CheckpointReader& reader, size_t chunk = 1000) {
  Bytes bytes(static_cast<size_t>(reader.current().bytes()));
  for (size_t at = 0; at < bytes.size(); at += chunk) {
    reader.read(std::span(bytes).subspan(at, std::min(chunk, bytes.size() - at)));
  }
  return bytes;
}

inline std::vector<Bytes> read_all(CheckpointReader& reader) {
  std::vector<Bytes> data;
  while (reader.next()) data.push_back(read_current(reader));
  return data;
}

inline std::unique_ptr<MemoryReader> in_memory(CheckpointReader& reader, MemoryReader::Kind kind) {
  std::vector<Bytes> data = read_all(reader);
  return std::make_unique<MemoryReader>(reader.header(), std::move(data), kind);
}

inline void copy_model(CheckpointReader& reader, CheckpointWriter& writer) {
  writer.begin(reader.header());
  while (reader.next()) writer.write(read_current(reader));
  writer.finish(Json::object());
}

// A directory that goes away with the test.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = std::filesystem::temp_directory_path() / "hone-test-XXXXXX";
    if (!::mkdtemp(name.data())) throw Error("no temporary directory");
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

template <typename T>
Bytes bytes_of(const std::vector<T>& values) {
  const auto view = std::as_bytes(std::span(values));
  return Bytes(view.begin(), view.end());
}

// The message of the Error that `body` throws; "" where it throws none.
template <typename Body>
std::string error_of(Body body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace hone::testing
