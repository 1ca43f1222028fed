// A file descriptor that closes itself, and reads and writes that finish what they begin: signals,
// short transfers and non-blocking pipes are dealt with here, once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace hone {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd, bool owned = true) : fd_(fd), owned_(owned) {}
  Descriptor(Descriptor&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), owned_(other.owned_) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(owned_, other.owned_);
    return *this;
  }
  ~Descriptor() { close(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  // False with errno where close() reports a delayed write error (network file systems, quotas).
  bool close();

 private:
  int fd_ = -1;
  bool owned_ = true;  // stdin and stdout are borrowed
};

// One read(): what is there now, 0 at the end only.
size_t read_some(int fd, std::span<std::byte> out, const std::string& subject);
// Reads until `out` is full or the input ends; the count. Errors: exit 4, naming `subject`.
size_t read_fully(int fd, std::span<std::byte> out, const std::string& subject);
size_t read_fully_at(int fd, std::span<std::byte> out, uint64_t offset, const std::string& subject);

// Writes all of it or throws: a full disk is exit 4, a reader that went away exit 141.
void write_fully(int fd, std::span<const std::byte> bytes, const std::string& subject);

// Gives memory its pages all at once. A read into fresh memory takes them one by one, and on a pipe
// it holds the pipe's lock all the while: the writer waits.
void fault_in(std::span<std::byte> room);

// Pipes of 64 KiB make neighbours of a pipeline take turns; asks for 1 MiB, where allowed.
void widen_pipe(int fd);

}  // namespace hone
