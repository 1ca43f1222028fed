#include "libcommon/compress/spool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "kernels/check.h"
#include "libcommon/base/error.h"
#include "libcommon/base/log.h"

namespace hone {
namespace {

constexpr size_t kCopyBytes = 4 << 20;

std::string temporary_directory() {
  for (const char* name : {"HONE_TMPDIR", "TMPDIR"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return "/tmp";
}

// An unlinked file of `bytes` bytes, allocated at once so that a small disk fails early.
int create_spool_file(const std::string& directory, int64_t bytes) {
  int file = open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file < 0) {  // a file system without O_TMPFILE
    std::string path = directory + "/hone-spool-XXXXXX";
    file = mkostemp(path.data(), O_CLOEXEC);
    if (file >= 0) unlink(path.c_str());
  }
  if (file < 0) throw_errno(directory, "cannot create a temporary file");
  if (bytes > 0) {
    errno = posix_fallocate(file, 0, bytes);
    if (errno != 0) {
      const int number = errno;
      close(file);
      errno = number;
      throw_errno(directory, "cannot hold a temporary copy of " +
                                 human_bytes(static_cast<double>(bytes)) +
                                 " (set HONE_TMPDIR, or write to a file first)");
    }
  }
  return file;
}

class SpooledReader final : public CheckpointReader {
 public:
  explicit SpooledReader(CheckpointReader& source) : directory_(temporary_directory()) {
    header_ = source.header();
    subject_ = source.subject();
    int64_t total = 0;
    for (const TensorInfo& tensor : header_.tensors) {
      offsets_.push_back(total);
      total += tensor.bytes();
    }
    file_ = create_spool_file(directory_, total);
    copy(source);
    trailer_ = source.trailer();
  }
  ~SpooledReader() override { close(file_); }
  SpooledReader(const SpooledReader&) = delete;
  SpooledReader& operator=(const SpooledReader&) = delete;

  bool next() override {
    position_ = 0;
    ++index_;
    return index_ < static_cast<int64_t>(header_.tensors.size());
  }
  void read(std::span<std::byte> out) override {
    read_at(index_, position_, out);
    position_ += static_cast<int64_t>(out.size());
  }
  bool random_access() const override { return true; }
  void read_at(int64_t tensor, int64_t offset, std::span<std::byte> out) override {
    const auto index = static_cast<size_t>(tensor);
    CHECK(offset + static_cast<int64_t>(out.size()) <= header_.tensors[index].bytes());
    int64_t at = offsets_[index] + offset;
    while (!out.empty()) {
      const ssize_t got = pread(file_, out.data(), out.size(), at);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) throw_errno(directory_, "cannot read the temporary copy");
      out = out.subspan(static_cast<size_t>(got));
      at += got;
    }
  }
  const std::byte* mapped(int64_t) const override { return nullptr; }
  Json trailer() const override { return trailer_; }

 private:
  void copy(CheckpointReader& source) {
    Progress progress("taking in", header_.total_bytes());
    std::vector<std::byte> buffer(kCopyBytes);
    int64_t at = 0;
    while (source.next()) {
      auto left = static_cast<size_t>(source.current().bytes());
      while (left > 0) {
        const std::span<std::byte> part(buffer.data(), std::min(left, buffer.size()));
        source.read(part);
        write_all(part, at);
        at += static_cast<int64_t>(part.size());
        left -= part.size();
        progress.advance(static_cast<int64_t>(part.size()));
      }
    }
  }

  void write_all(std::span<const std::byte> bytes, int64_t at) {
    while (!bytes.empty()) {
      const ssize_t put = pwrite(file_, bytes.data(), bytes.size(), at);
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) throw_errno(directory_, "cannot write the temporary copy");
      bytes = bytes.subspan(static_cast<size_t>(put));
      at += put;
    }
  }

  std::string directory_;
  int file_ = -1;
  std::vector<int64_t> offsets_;
  int64_t position_ = 0;
  Json trailer_;
};

}  // namespace

std::unique_ptr<CheckpointReader> with_random_access(std::unique_ptr<CheckpointReader> reader) {
  if (reader->random_access()) return reader;
  return std::make_unique<SpooledReader>(*reader);
}

}  // namespace hone
