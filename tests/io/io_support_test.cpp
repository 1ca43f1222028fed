#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/io/io_support.h"

namespace hone::test {

TemporaryDirectory::TemporaryDirectory() {
  // Thousands of tiny files are rewritten: in memory, where there is such a file system.
  std::string path =
      access("/dev/shm", W_OK) == 0 ? "/dev/shm" : std::filesystem::temp_directory_path().string();
  path += "/hone-io-test-XXXXXX";
  REQUIRE(mkdtemp(path.data()) != nullptr);
  path_ = path;
}

TemporaryDirectory::~TemporaryDirectory() { std::filesystem::remove_all(path_); }

std::vector<std::string> TemporaryDirectory::entries() const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path_)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write_file(const std::string& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  REQUIRE(file);
}

namespace {

int open_as_file(const std::string& bytes) {
  TemporaryDirectory directory;
  write_file(directory.path("stdin"), bytes);
  return open(directory.path("stdin").c_str(), O_RDONLY);
}

// Pieces of a size that fits no boundary.
void feed(int fd, const std::string& bytes) {
  const size_t step = std::max<size_t>(1, std::min<size_t>(bytes.size() / 3, 10007));
  for (size_t at = 0; at < bytes.size(); at += step) {
    if (write(fd, bytes.data() + at, std::min(step, bytes.size() - at)) < 0) break;
  }
  close(fd);
}

}  // namespace

Stdin::Stdin(Kind kind, std::string bytes) : saved_(dup(STDIN_FILENO)) {
  signal(SIGPIPE, SIG_IGN);
  int fd = -1;
  if (kind == Kind::kFile) {
    fd = open_as_file(bytes);
  } else {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    fd = ends[0];
    writer_ = std::thread([out = ends[1], text = std::move(bytes)] { feed(out, text); });
  }
  dup2(fd, STDIN_FILENO);
  close(fd);
}

Stdin::~Stdin() {
  dup2(saved_, STDIN_FILENO);  // closes the pipe's end: a writer that waits gets EPIPE
  close(saved_);
  if (writer_.joinable()) writer_.join();
}

StdoutToFile::StdoutToFile(const std::string& path) : saved_(dup(STDOUT_FILENO)) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  dup2(fd, STDOUT_FILENO);
  close(fd);
}

StdoutToFile::~StdoutToFile() {
  dup2(saved_, STDOUT_FILENO);
  close(saved_);
}

std::string safetensors_bytes(std::string_view json, std::string_view data) {
  return Bytes().string(json).raw(data).text();
}

std::string from_hex(std::string_view hex) {
  std::string digits, bytes;
  for (const char c : hex) {
    if (c != ' ' && c != '\n') digits += c;
  }
  for (size_t i = 0; i < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

WholeModel read_all(CheckpointReader& reader, size_t step) {
  WholeModel model;
  model.header = reader.header();
  while (reader.next()) {
    const auto total = static_cast<size_t>(reader.current().bytes());
    std::string bytes;  // grows as it is filled: the size may be a lie
    while (bytes.size() < total) {
      const size_t at = bytes.size();
      bytes.resize(at + std::min(step, total - at));
      reader.read(std::as_writable_bytes(std::span(bytes).subspan(at)));
    }
    model.tensors.push_back(std::move(bytes));
  }
  model.trailer = reader.trailer();
  return model;
}

}  // namespace hone::test

using namespace hone::test;

TEST_CASE("the helpers themselves") {
  CHECK(from_hex("00ff 4a") == std::string("\0\xff\x4a", 3));
  CHECK(safetensors_bytes("{}", "x") == std::string("\2\0\0\0\0\0\0\0{}x", 11));
  const TemporaryDirectory directory;
  write_file(directory.path("b"), "1");
  write_file(directory.path(".a"), "2");
  CHECK(directory.entries() == std::vector<std::string>{".a", "b"});
}
