// Where bytes come from: a regular file (mapped, random access) or a pipe (read once). "-" is
// stdin, which may be either: `hone-x < model.safetensors` is mapped from the current offset on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace hone {

class ByteSource {
 public:
  explicit ByteSource(std::string subject) : subject_(std::move(subject)) {}
  virtual ~ByteSource() = default;

  const std::string& subject() const { return subject_; }  // "(stdin)" or the path: for errors
  uint64_t position() const { return position_; }

  // All bytes from the start on; nullopt for a pipe.
  virtual std::optional<uint64_t> size() const = 0;
  // The next bytes; fewer than asked for only at the end.
  virtual size_t read(std::span<std::byte> out) = 0;
  // Passes over them; the count that was there.
  virtual uint64_t skip(uint64_t count) = 0;
  // The next bytes without taking them: at most kPeekBytes, fewer at the end. Valid until the next
  // call.
  static constexpr size_t kPeekBytes = 4096;
  virtual std::span<const std::byte> peek(size_t count) = 0;

  // Independent of the position; regular files only.
  virtual size_t read_at(uint64_t offset, std::span<std::byte> out) = 0;
  // The mapped bytes, size() of them; null for a pipe.
  virtual const std::byte* map() const = 0;

  // What may have happened to a source that ends too early.
  std::string cause_of_early_end() const;

 protected:
  std::string subject_;
  uint64_t position_ = 0;
};

// where: a path or "-". Errors: not there (exit 4), a directory, stdin is a terminal (usage).
std::unique_ptr<ByteSource> open_source(const std::string& where);

// Looks at the first bytes of `where`. A pipe's bytes cannot be put back, so its source is kept and
// handed out by the next open_source(where).
std::string peek_source(const std::string& where, size_t count);

// `count` bytes as a string that grows as they arrive: a pipe may claim any length. Short at the
// end.
std::string read_growing(ByteSource& source, uint64_t count);

}  // namespace hone
