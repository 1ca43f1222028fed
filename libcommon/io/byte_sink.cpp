#include "libcommon/io/byte_sink.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "kernels/check.h"
#include "libcommon/base/error.h"

namespace hone {
namespace {

// A pipe carries least overhead in such steps.
constexpr size_t kPipeStep = size_t{256} << 10;
// Some file systems keep pages in the sizes in which they were written: whole huge ones decode 3 to
// 7 % faster from the map than the next smaller.
constexpr size_t kFileStep = size_t{2} << 20;

// A link is kept and its target replaced; a name that does not exist yet stays as it is.
std::string follow_links(const std::string& path) {
  std::error_code failed;
  const std::filesystem::path real = std::filesystem::canonical(path, failed);
  return failed ? path : real.string();
}

}  // namespace

ByteSink::ByteSink(const std::string& where, const SinkOptions& options)
    : subject_(where == "-" ? "(stdout)" : where) {
  if (where == "-") {
    direct_ = Descriptor(STDOUT_FILENO, /*owned=*/false);
  } else {
    open_path(where);
  }
  if (!file_) {
    refuse_terminal(options);
    widen_pipe(fd());
  }
}

ByteSink::ByteSink(PendingFile file) : subject_(file.subject()), file_(std::move(file)) {}

void ByteSink::open_path(const std::string& where) {
  struct stat status;
  const bool exists = stat(where.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) {
    throw resource_error(where + ": is a directory, cannot be written as a file");
  }
  if (exists && !S_ISREG(status.st_mode)) {
    direct_ = Descriptor(open(where.c_str(), O_WRONLY | O_CLOEXEC));
    if (!direct_) throw_errno(where, "cannot open for writing");
    return;
  }
  path_ = follow_links(where);
  file_.emplace(parent_directory(path_), where);
}

void ByteSink::refuse_terminal(const SinkOptions& options) const {
  if (options.force_terminal || !isatty(fd())) return;
  throw usage_error(subject_ +
                    ": is a terminal, and a model is binary; redirect it, pipe it, or use -o");
}

void ByteSink::reserve(uint64_t bytes) {
  if (file_) file_->reserve(bytes);
}

void ByteSink::write(std::span<const std::byte> bytes) {
  written_ += bytes.size();
  const size_t step = file_ ? kFileStep : kPipeStep;
  while (!bytes.empty()) {
    const size_t room = step - (passed_on_ + buffer_.size()) % step;
    if (buffer_.empty() && bytes.size() >= room) {  // whole steps go straight on
      const size_t count = bytes.size() - (bytes.size() - room) % step;
      pass_on(bytes.first(count));
      bytes = bytes.subspan(count);
      continue;
    }
    const auto taken = bytes.first(std::min(bytes.size(), room));
    buffer_.insert(buffer_.end(), taken.begin(), taken.end());
    bytes = bytes.subspan(taken.size());
    if (taken.size() == room) flush();
  }
}

void ByteSink::write_zeros(size_t count) {
  static constexpr std::byte kZeros[4096] = {};
  while (count > 0) {
    const size_t step = std::min(count, sizeof kZeros);
    write(std::span(kZeros).first(step));
    count -= step;
  }
}

void ByteSink::flush() {
  pass_on(buffer_);
  buffer_.clear();
}

void ByteSink::pass_on(std::span<const std::byte> bytes) {
  write_fully(fd(), bytes, subject_);
  passed_on_ += bytes.size();
  if (file_) file_->start_write_back(passed_on_);
}

void ByteSink::finish() {
  flush();
  if (file_) {
    file_->publish(path_);
  } else if (!direct_.close()) {  // stdout itself is closed, and that checked, by run_tool
    throw_errno(subject_, "cannot write");
  }
}

PendingFile ByteSink::release() {
  CHECK(file_.has_value());
  flush();
  PendingFile file = std::move(*file_);
  file_.reset();
  return file;
}

void write_text(const std::string& where, std::string_view text) {
  ByteSink sink(where, {.force_terminal = true});
  sink.write(text);
  sink.finish();
}

}  // namespace hone
