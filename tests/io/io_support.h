// What the tests of this folder share: files that vanish, a stdin that is a pipe or a file, bytes
// made by hand, and the one way to check an Error.
#pragma once

#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "libcommon/base/error.h"
#include "libcommon/io/checkpoint.h"
#include "tests/support/doctest.h"

namespace hone::test {

// A directory of its own, deleted with all it holds.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  std::string path(std::string_view name) const { return path_ + "/" + std::string(name); }
  const std::string& path() const { return path_; }
  std::vector<std::string> entries() const;  // sorted, hidden ones too

 private:
  std::string path_;
};

std::string read_file(const std::string& path);
void write_file(const std::string& path, std::string_view bytes);

// stdin is a pipe into which a thread writes `bytes`, in small pieces, or a regular file, while
// this lives.
class Stdin {
 public:
  enum class Kind { kPipe, kFile };
  Stdin(Kind kind, std::string bytes);
  ~Stdin();

 private:
  int saved_;
  std::thread writer_;
};

// stdout goes into a file while this lives.
class StdoutToFile {
 public:
  explicit StdoutToFile(const std::string& path);
  ~StdoutToFile();

 private:
  int saved_;
};

// Little-endian fields, appended.
class Bytes {
 public:
  template <class T>
  Bytes& put(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& raw(std::string_view text) {
    text_ += text;
    return *this;
  }
  Bytes& string(std::string_view text) { return put<uint64_t>(text.size()).raw(text); }
  Bytes& pad(size_t alignment) {
    while (text_.size() % alignment != 0) text_ += '\0';
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// Length, JSON, data.
std::string safetensors_bytes(std::string_view json, std::string_view data);

std::string from_hex(std::string_view hex);  // spaces ignored

// All tensors read front to back, in pieces of at most `step` bytes.
struct WholeModel {
  CheckpointHeader header;
  std::vector<std::string> tensors;
  Json trailer;
};
WholeModel read_all(CheckpointReader& reader, size_t step = 1 << 20);

// Runs `action`, which must throw an Error with this code whose text holds `part`.
template <class Action>
void check_error(Action action, ExitCode code, std::string_view part) {
  try {
    action();
  } catch (const Error& error) {
    const std::string text = error.what();
    INFO("message: ", text);
    INFO("expected part: ", std::string(part));
    CHECK(text.find(part) != std::string::npos);
    CHECK(static_cast<int>(error.code()) == static_cast<int>(code));
    CHECK(text.find('\n') == std::string::npos);  // one line
    return;
  }
  INFO("expected part: ", std::string(part));
  FAIL_CHECK("no error");
}

}  // namespace hone::test
