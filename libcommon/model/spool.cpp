// A pipe made seekable: its tensors go into a file without a name, which vanishes with the process.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernels/check.h"
#include "libcommon/base/checked.h"
#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/io/descriptor.h"
#include "libcommon/model/ordered_reader.h"

namespace hone {
namespace {

constexpr size_t kChunk = size_t{1} << 20;
constexpr int64_t kAlign = 64;

std::string spool_directory() {
  for (const char* name : {"HONE_TMPDIR", "TMPDIR"}) {
    const char* value = std::getenv(name);
    if (value && *value) return value;
  }
  return "/tmp";
}

// O_TMPFILE where the file system has it, else a name that is removed at once.
Descriptor open_unlinked(const std::string& directory) {
  Descriptor file(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file) return file;
  std::string name = directory + "/hone-spool-XXXXXX";
  file = Descriptor(::mkostemp(name.data(), O_CLOEXEC));
  if (!file) throw_errno(directory, "cannot make a temporary file");
  ::unlink(name.c_str());
  return file;
}

void reserve(int fd, int64_t bytes, const std::string& directory) {
  if (bytes == 0) return;
  const int error = ::posix_fallocate(fd, 0, bytes);
  if (error == 0) return;
  throw resource_error(directory + ": no room to put the model's " +
                       human_bytes(static_cast<double>(bytes)) +
                       " in order: " + std::strerror(error) +
                       "; set HONE_TMPDIR, or send the tensors in execution order");
}

class SpoolReader : public CheckpointReader {
 public:
  explicit SpoolReader(CheckpointReader& source) {
    header_ = source.header();
    subject_ = source.subject();
    place();
    const std::string directory = spool_directory();
    log_verbose(subject_ + ": tensors are not in execution order; spooling " +
                human_bytes(static_cast<double>(total_)) + " to " + directory);
    const Descriptor file = open_unlinked(directory);
    reserve(file.get(), total_, directory);
    copy(source, file.get(), directory);
    trailer_ = source.trailer();
    if (total_ == 0) return;
    void* map = ::mmap(nullptr, static_cast<size_t>(total_), PROT_READ, MAP_SHARED, file.get(), 0);
    if (map == MAP_FAILED) throw_errno(directory, "cannot map the temporary file");
    map_ = static_cast<const std::byte*>(map);
  }

  ~SpoolReader() override {
    if (map_) ::munmap(const_cast<std::byte*>(map_), static_cast<size_t>(total_));
  }

  bool next() override {
    if (index_ < static_cast<int64_t>(begins_.size())) ++index_;
    position_ = 0;
    return index_ < static_cast<int64_t>(begins_.size());
  }

  void read(std::span<std::byte> out) override {
    read_at(index_, position_, out);
    position_ += static_cast<int64_t>(out.size());
  }

  bool random_access() const override { return true; }

  void read_at(int64_t tensor, int64_t offset, std::span<std::byte> out) override {
    const TensorInfo& info = header_.tensors[static_cast<size_t>(tensor)];
    CHECK(offset >= 0 && offset + static_cast<int64_t>(out.size()) <= info.bytes());
    if (!out.empty()) std::memcpy(out.data(), mapped(tensor) + offset, out.size());
  }

  const std::byte* mapped(int64_t tensor) const override {
    return map_ + begins_[static_cast<size_t>(tensor)];
  }

  Json trailer() const override { return trailer_; }

 private:
  void place() {
    uint64_t end = 0;
    for (const TensorInfo& tensor : header_.tensors) {
      begins_.push_back(static_cast<int64_t>(end));
      const auto padded = checked_add(static_cast<uint64_t>(tensor.bytes()), kAlign - 1);
      const auto sum = checked_add(end, padded.value_or(UINT64_MAX) / kAlign * kAlign);
      if (!sum || *sum > static_cast<uint64_t>(INT64_MAX)) {
        throw Error(subject_ + ": the tensors' sizes overflow");
      }
      end = *sum;
    }
    total_ = static_cast<int64_t>(end);
  }

  void copy(CheckpointReader& source, int fd, const std::string& directory) {
    std::vector<std::byte> buffer(kChunk);
    while (source.next()) {
      int64_t left = source.current().bytes();
      int64_t at = begins_[static_cast<size_t>(source.current_index())];
      while (left > 0) {
        const auto part = std::span(buffer).first(
            static_cast<size_t>(std::min(left, static_cast<int64_t>(kChunk))));
        source.read(part);
        write_at(fd, at, part, directory);
        left -= static_cast<int64_t>(part.size());
        at += static_cast<int64_t>(part.size());
      }
    }
  }

  static void write_at(int fd, int64_t at, std::span<const std::byte> bytes,
                       const std::string& directory) {
    if (::lseek(fd, at, SEEK_SET) < 0) throw_errno(directory, "temporary file");
    write_fully(fd, bytes, directory);
  }

  std::vector<int64_t> begins_;
  int64_t total_ = 0;
  int64_t position_ = 0;
  const std::byte* map_ = nullptr;
  Json trailer_;
};

}  // namespace

std::unique_ptr<CheckpointReader> spool(std::unique_ptr<CheckpointReader> reader) {
  return std::make_unique<SpoolReader>(*reader);
}

}  // namespace hone
