#include "libcommon/io/descriptor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "libcommon/base/error.h"

namespace hone {
namespace {

// Linux transfers at most 0x7ffff000 bytes a call.
constexpr size_t kLargestTransfer = size_t{1} << 30;

// After a failed read or write: returns where it is to be tried again, throws otherwise.
void wait_or_throw(int fd, short event, const std::string& subject, const char* what) {
  if (errno == EINTR) return;
  if (errno == EAGAIN || errno == EWOULDBLOCK) {  // another process made the pipe non-blocking
    pollfd ready = {fd, event, 0};
    poll(&ready, 1, -1);
    return;
  }
  throw_errno(subject, what);
}

}  // namespace

bool Descriptor::close() {
  const int fd = std::exchange(fd_, -1);
  return fd < 0 || !owned_ || ::close(fd) == 0;
}

size_t read_some(int fd, std::span<std::byte> out, const std::string& subject) {
  for (;;) {
    const ssize_t got = ::read(fd, out.data(), std::min(out.size(), kLargestTransfer));
    if (got >= 0) return static_cast<size_t>(got);
    wait_or_throw(fd, POLLIN, subject, "cannot read");
  }
}

size_t read_fully(int fd, std::span<std::byte> out, const std::string& subject) {
  size_t done = 0;
  while (done < out.size()) {
    const size_t got = read_some(fd, out.subspan(done), subject);
    if (got == 0) break;
    done += got;
  }
  return done;
}

size_t read_fully_at(int fd, std::span<std::byte> out, uint64_t offset,
                     const std::string& subject) {
  size_t done = 0;
  while (done < out.size()) {
    const size_t count = std::min(out.size() - done, kLargestTransfer);
    const ssize_t got = ::pread(fd, out.data() + done, count, static_cast<off_t>(offset + done));
    if (got == 0) break;
    if (got < 0) {
      wait_or_throw(fd, POLLIN, subject, "cannot read");
    } else {
      done += static_cast<size_t>(got);
    }
  }
  return done;
}

void write_fully(int fd, std::span<const std::byte> bytes, const std::string& subject) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd, bytes.data(), std::min(bytes.size(), kLargestTransfer));
    if (put < 0) {
      wait_or_throw(fd, POLLOUT, subject, "cannot write");
    } else {
      bytes = bytes.subspan(static_cast<size_t>(put));
    }
  }
}

void fault_in([[maybe_unused]] std::span<std::byte> room) {
#ifdef MADV_POPULATE_WRITE
  static const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(room.data()) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(room.data()) + room.size();
  madvise(reinterpret_cast<void*>(begin), (end - begin + page - 1) / page * page,
          MADV_POPULATE_WRITE);  // refused by Linux before 5.14: no harm
#endif
}

void widen_pipe(int fd) {
#ifdef F_SETPIPE_SZ
  fcntl(fd, F_SETPIPE_SZ, 1 << 20);  // refused for non-pipes and over the user's quota: no harm
#endif
}

}  // namespace hone
