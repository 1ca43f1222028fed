// Where bytes go: stdout, a device or named pipe (written at once), or a file that appears when it
// is whole. Gathers small writes, so that they end at multiples of a step, a pipe's or a file's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libcommon/io/checkpoint.h"
#include "libcommon/io/descriptor.h"
#include "libcommon/io/pending_file.h"

namespace hone {

class ByteSink {
 public:
  // where: a path, or "-" for stdout. Refuses a terminal (exit 2) unless forced.
  ByteSink(const std::string& where, const SinkOptions& options);
  // An unnamed file in `directory`, published later by its owner: release().
  explicit ByteSink(PendingFile file);

  // Not yet finished: nothing is left behind, except what a pipe's reader already has.
  ~ByteSink() = default;
  ByteSink(ByteSink&&) = default;

  const std::string& subject() const { return subject_; }
  uint64_t written() const { return written_; }

  void reserve(uint64_t bytes);
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  void write_zeros(size_t count);
  // Passes on what was gathered: the next program of a pipe plans while the first data is made.
  void flush();
  // Flushes, and gives a file its name.
  void finish();
  // Flushes, and hands out the file, still without a name.
  PendingFile release();

 private:
  void open_path(const std::string& where);
  void pass_on(std::span<const std::byte> bytes);
  void refuse_terminal(const SinkOptions& options) const;
  int fd() const { return file_ ? file_->fd() : direct_.get(); }

  std::string subject_;
  std::string path_;  // where the file will be: symbolic links resolved
  Descriptor direct_;
  std::optional<PendingFile> file_;
  std::vector<std::byte> buffer_;
  uint64_t written_ = 0;  // buffered bytes included
  uint64_t passed_on_ = 0;
};

// A text for people or programs: whole or not at all in a file, at once elsewhere. "-": stdout.
void write_text(const std::string& where, std::string_view text);

}  // namespace hone
