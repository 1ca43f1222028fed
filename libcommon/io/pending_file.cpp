#include "libcommon/io/pending_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "libcommon/base/error.h"

namespace hone {
namespace {

constexpr uint64_t kWriteBackBytes = 8 << 20;
constexpr int kAttempts = 100;  // names tried, where a dead process left the first ones behind

std::string proc_path(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

// An unnamed file, or none where the file system lacks them or /proc, which names them later, is
// not mounted.
Descriptor open_unnamed(const std::string& directory) {
  Descriptor fd(open(directory.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666));
  if (fd && access(proc_path(fd.get()).c_str(), F_OK) != 0) return Descriptor();
  return fd;
}

}  // namespace

std::string temporary_name(const std::string& path, int attempt) {
  const std::string number = attempt == 0 ? "" : "-" + std::to_string(attempt);
  return path + ".tmp-" + std::to_string(getpid()) + number;
}

std::string parent_directory(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent;
}

void sync_directory(const std::string& directory) {
  const Descriptor fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd) fsync(fd.get());
}

PendingFile::PendingFile(const std::string& directory, std::string subject, Naming naming)
    : subject_(std::move(subject)) {
  if (naming == Naming::kUnnamed) fd_ = open_unnamed(directory);
  const std::string file = std::filesystem::path(subject_).filename();
  for (int attempt = 0; !fd_ && attempt < kAttempts; ++attempt) {
    temporary_ = temporary_name(directory + "/" + file, attempt);
    fd_ = Descriptor(open(temporary_.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666));
    if (!fd_ && errno != EEXIST) break;
  }
  if (!fd_) {
    temporary_.clear();
    throw_errno(subject_, "cannot create");
  }
}

PendingFile::~PendingFile() {
  if (fd_ && !temporary_.empty()) unlink(temporary_.c_str());
}

void PendingFile::reserve(uint64_t bytes) {
  if (bytes == 0 || fallocate(fd(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes)) == 0) return;
  // Other failures: this file system cannot reserve. It will tell when it is full.
  if (errno == ENOSPC || errno == EFBIG || errno == EDQUOT) {
    throw_errno(subject_, "cannot reserve " + std::to_string(bytes) + " bytes");
  }
}

void PendingFile::start_write_back(uint64_t end) {
  if (end < handed_over_ + kWriteBackBytes) return;
  // A hint: a file system without it writes all in sync(), and tells of errors there.
  sync_file_range(fd(), static_cast<off_t>(handed_over_), static_cast<off_t>(end - handed_over_),
                  SYNC_FILE_RANGE_WRITE);
  handed_over_ = end;
}

void PendingFile::sync() {
  // EINVAL: a file system without fsync.
  if (fsync(fd()) != 0 && errno != EINVAL) throw_errno(subject_, "cannot write to disk");
}

void PendingFile::give_name(const std::string& path) {
  for (int attempt = 0; temporary_.empty() && attempt < kAttempts; ++attempt) {
    const std::string name = temporary_name(path, attempt);
    const int failed =
        linkat(AT_FDCWD, proc_path(fd()).c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW);
    if (failed == 0) {
      temporary_ = name;
    } else if (errno != EEXIST) {
      break;
    }
  }
  if (temporary_.empty()) throw_errno(subject_, "cannot name the finished file");
}

void PendingFile::publish(const std::string& path) {
  sync();
  give_name(path);
  if (rename(temporary_.c_str(), path.c_str()) != 0) throw_errno(subject_, "cannot replace");
  temporary_ = path;  // until close() has succeeded
  if (!fd_.close()) {
    const int reason = errno;
    unlink(path.c_str());
    errno = reason;
    throw_errno(subject_, "cannot write to disk");
  }
  sync_directory(parent_directory(path));
}

}  // namespace hone
