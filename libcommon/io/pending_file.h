// A file that appears whole or not at all. It has no name while it is written (O_TMPFILE), so that
// even a killed program leaves nothing behind; publish() syncs it and gives it its name in one
// step, replacing what had that name. Where the file system cannot do that (NFS, FAT) it is written
// as NAME.tmp-PID beside the target and removed on failure.
#pragma once

#include <cstdint>
#include <string>

#include "libcommon/io/descriptor.h"

namespace hone {

class PendingFile {
 public:
  enum class Naming { kUnnamed, kTemporaryName };

  // The directory must be on the target's file system. subject: the path in messages.
  PendingFile(const std::string& directory, std::string subject, Naming naming = Naming::kUnnamed);
  PendingFile(PendingFile&&) = default;
  ~PendingFile();

  int fd() const { return fd_.get(); }
  const std::string& subject() const { return subject_; }

  // Claims room on the disk, so that a model that will not fit fails now and not in an hour.
  void reserve(uint64_t bytes);
  // Has the disk begin with what was written up to `end`, so that sync() finds little left to do.
  void start_write_back(uint64_t end);
  // fsync: delayed write errors show here.
  void sync();
  // sync, name, close. The file stays if this returns; otherwise it throws and is gone.
  void publish(const std::string& path);

 private:
  void give_name(const std::string& path);

  std::string subject_;
  Descriptor fd_;
  std::string temporary_;     // its name, when it has one
  uint64_t handed_over_ = 0;  // bytes that the disk was told of
};

// The name a file is written under until it is whole: beside the target, one per process.
std::string temporary_name(const std::string& path, int attempt);

// After a rename: the directory's own entry is on the disk, too. Best effort.
void sync_directory(const std::string& directory);

// "dir" of "dir/name", "." of "name".
std::string parent_directory(const std::string& path);

}  // namespace hone
