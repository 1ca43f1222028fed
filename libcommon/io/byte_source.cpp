#include "libcommon/io/byte_source.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "kernels/check.h"
#include "libcommon/base/error.h"
#include "libcommon/io/descriptor.h"

namespace hone {
namespace {

constexpr size_t kBufferBytes = size_t{128} << 10;
constexpr size_t kFaultedBytes = 2 * kBufferBytes;  // of a large read

// The map serves those who compute from the weights in place. read() uses pread all the same: pages
// that are only passed on then never count as this process's memory, and a failing disk is an errno
// instead of SIGBUS.
class FileSource final : public ByteSource {
 public:
  FileSource(std::string subject, Descriptor fd, uint64_t start, uint64_t file_bytes)
      : ByteSource(std::move(subject)), fd_(std::move(fd)), start_(start), file_bytes_(file_bytes) {
    void* map = mmap(nullptr, file_bytes_, PROT_READ, MAP_PRIVATE, fd_.get(), 0);
    if (map == MAP_FAILED) throw_errno(subject_, "cannot map");
    // A wish: some file systems then keep the file in huge pages, where it was written or is read
    // for the first time in such.
    madvise(map, file_bytes_, MADV_HUGEPAGE);
    map_ = static_cast<const std::byte*>(map);
  }
  ~FileSource() override { munmap(const_cast<std::byte*>(map_), file_bytes_); }

  std::optional<uint64_t> size() const override { return file_bytes_ - start_; }

  size_t read(std::span<std::byte> out) override {
    const size_t count = read_at(position_, out);
    position_ += count;
    return count;
  }

  uint64_t skip(uint64_t count) override {
    count = std::min(count, *size() - position_);
    position_ += count;
    return count;
  }

  std::span<const std::byte> peek(size_t count) override {
    const std::span<std::byte> room = std::span(peeked_).first(std::min(count, kPeekBytes));
    return room.first(read_at(position_, room));
  }

  size_t read_at(uint64_t offset, std::span<std::byte> out) override {
    return read_fully_at(fd_.get(), out, start_ + offset, subject_);
  }

  const std::byte* map() const override { return map_ + start_; }

 private:
  Descriptor fd_;
  uint64_t start_;  // stdin may have been read from before
  uint64_t file_bytes_;
  const std::byte* map_;
  std::byte peeked_[kPeekBytes];
};

class PipeSource final : public ByteSource {
 public:
  PipeSource(std::string subject, Descriptor fd)
      : ByteSource(std::move(subject)), fd_(std::move(fd)), buffer_(kBufferBytes) {
    widen_pipe(fd_.get());
  }

  std::optional<uint64_t> size() const override { return std::nullopt; }

  size_t read(std::span<std::byte> out) override {
    size_t done = take_buffered(out);
    if (out.size() - done >= kBufferBytes) done += read_large(out.subspan(done));
    while (done < out.size() && fill(1)) done += take_buffered(out.subspan(done));
    position_ += done;
    return done;
  }

  uint64_t skip(uint64_t count) override {
    uint64_t done = 0;
    while (done < count && fill(1)) {
      const size_t step = static_cast<size_t>(std::min<uint64_t>(count - done, end_ - begin_));
      begin_ += step;
      done += step;
    }
    position_ += done;
    return done;
  }

  std::span<const std::byte> peek(size_t count) override {
    fill(std::min(count, kPeekBytes));
    return std::span<const std::byte>(buffer_).subspan(begin_, std::min(count, end_ - begin_));
  }

  size_t read_at(uint64_t, std::span<std::byte>) override {
    CHECK(!"random access to a pipe");
    return 0;
  }

  const std::byte* map() const override { return nullptr; }

 private:
  // Straight to where it belongs. In pieces: what the producer has not sent yet takes no memory.
  size_t read_large(std::span<std::byte> out) {
    size_t done = 0;
    while (done < out.size()) {
      const std::span<std::byte> piece =
          out.subspan(done, std::min(kFaultedBytes, out.size() - done));
      fault_in(piece);
      const size_t got = read_fully(fd_.get(), piece, subject_);
      done += got;
      if (got < piece.size()) break;
    }
    return done;
  }

  size_t take_buffered(std::span<std::byte> out) {
    const size_t count = std::min(out.size(), end_ - begin_);
    if (count > 0) std::memcpy(out.data(), buffer_.data() + begin_, count);
    begin_ += count;
    return count;
  }

  // At least `count` bytes in the buffer; false where the pipe ends before. Takes what one read
  // gives beyond them, so that a slow producer's small writes are passed on at once.
  bool fill(size_t count) {
    if (end_ - begin_ >= count) return true;
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    while (end_ < count) {
      const size_t got = read_some(fd_.get(), std::span(buffer_).subspan(end_), subject_);
      if (got == 0) return false;
      end_ += got;
    }
    return true;
  }

  Descriptor fd_;
  std::vector<std::byte> buffer_;
  size_t begin_ = 0, end_ = 0;  // of what is buffered
};

std::unique_ptr<ByteSource> make_source(std::string subject, Descriptor fd) {
  struct stat status;
  if (fstat(fd.get(), &status) != 0) throw_errno(subject, "cannot open");
  if (S_ISDIR(status.st_mode)) throw Error(subject + ": is a directory, expected a file");
  const uint64_t bytes = static_cast<uint64_t>(std::max<off_t>(status.st_size, 0));
  const off_t start = lseek(fd.get(), 0, SEEK_CUR);
  // Files of /proc are regular and claim 0 bytes; what is read at its end has nothing to map.
  if (S_ISREG(status.st_mode) && start >= 0 && static_cast<uint64_t>(start) < bytes) {
    return std::make_unique<FileSource>(std::move(subject), std::move(fd),
                                        static_cast<uint64_t>(start), bytes);
  }
  return std::make_unique<PipeSource>(std::move(subject), std::move(fd));
}

std::unique_ptr<ByteSource> open_fresh(const std::string& where) {
  if (where != "-") {
    Descriptor fd(open(where.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) throw_errno(where, "cannot open");
    return make_source(where, std::move(fd));
  }
  if (isatty(STDIN_FILENO)) {
    throw usage_error("stdin is a terminal; give a model's path or pipe a model in");
  }
  return make_source("(stdin)", Descriptor(STDIN_FILENO, /*owned=*/false));
}

// Pipes that were peeked at and not opened yet, by path.
std::map<std::string, std::unique_ptr<ByteSource>>& peeked_pipes() {
  static std::map<std::string, std::unique_ptr<ByteSource>> pipes;
  return pipes;
}

}  // namespace

std::string ByteSource::cause_of_early_end() const {
  return size() ? "incomplete download?" : "was the program before it in the pipe stopped?";
}

std::unique_ptr<ByteSource> open_source(const std::string& where) {
  const auto kept = peeked_pipes().find(where);
  if (kept == peeked_pipes().end()) return open_fresh(where);
  std::unique_ptr<ByteSource> source = std::move(kept->second);
  peeked_pipes().erase(kept);
  return source;
}

std::string peek_source(const std::string& where, size_t count) {
  std::unique_ptr<ByteSource> source = open_source(where);
  const std::span<const std::byte> bytes = source->peek(count);
  std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!source->size() && !text.empty()) peeked_pipes()[where] = std::move(source);
  return text;
}

std::string read_growing(ByteSource& source, uint64_t count) {
  std::string text;
  uint64_t step = 1 << 20;
  while (text.size() < count) {
    const size_t old = text.size();
    const size_t more = static_cast<size_t>(std::min<uint64_t>(count - old, step));
    text.resize(old + more);
    const size_t got = source.read(std::as_writable_bytes(std::span(text).subspan(old)));
    if (got < more) {
      text.resize(old + got);
      break;
    }
    step = text.size();  // doubles
  }
  return text;
}

}  // namespace hone
