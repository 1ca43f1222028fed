// Writing: whole or not at all, full disks, readers that leave, terminals.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "libcommon/io/byte_sink.h"
#include "libcommon/io/gguf.h"
#include "tests/io/io_support.h"

using namespace hone;
using namespace hone::test;
namespace fs = std::filesystem;

namespace {

std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

CheckpointHeader one_tensor(int64_t bytes) {
  CheckpointHeader header;
  header.tensors = {{"x", DType::kU8, {bytes}}};
  return header;
}

void write_zeros(CheckpointWriter& writer, int64_t bytes) {
  writer.begin(one_tensor(bytes));
  const std::vector<std::byte> zeros(static_cast<size_t>(bytes));
  writer.write(zeros);
  writer.finish(nullptr);
}

}  // namespace

TEST_CASE("a file appears when it is whole, and replaces what was there") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("x");
  write_file(path, "old");
  ByteSink sink(path, {});
  sink.write("new ");
  sink.write(std::string(1'000'000, 'n'));
  sink.write_zeros(5000);
  CHECK(read_file(path) == "old");
  CHECK(sink.written() == 1'005'004);
  sink.finish();
  CHECK(read_file(path) == "new " + std::string(1'000'000, 'n') + std::string(5000, '\0'));
  CHECK(directory.entries() == std::vector<std::string>{"x"});
}

TEST_CASE("small and large writes join up at every step of a file") {
  constexpr size_t kStep = size_t{256} << 10;
  const TemporaryDirectory directory;
  for (const size_t first : {size_t{1}, kStep - 1, kStep, kStep + 1}) {
    for (const size_t second : {kStep - 1, kStep, 2 * kStep + 1}) {
      std::string text(first + second + 5, 'a');
      for (size_t i = 0; i < text.size(); i += 997) text[i] = static_cast<char>('b' + i % 19);
      ByteSink sink(directory.path("x"), {});
      sink.write(std::string_view(text).substr(0, first));
      if (first == kStep) sink.flush();
      sink.write(std::string_view(text).substr(first, second));
      sink.write(std::string_view(text).substr(first + second));
      CHECK(sink.written() == text.size());
      sink.finish();
      CHECK(read_file(directory.path("x")) == text);
    }
  }
}

TEST_CASE("what is not finished leaves the old file and nothing else") {
  const TemporaryDirectory directory;
  write_file(directory.path("old.safetensors"), "old");
  for (const char* name : {"old.safetensors", "new.safetensors"}) {
    const auto writer = create_stream(directory.path(name), {});
    writer->begin(one_tensor(1'000'000));
    const std::vector<std::byte> part(600'000);
    writer->write(part);
  }
  {
    const auto writer = create_gguf(directory.path("new.gguf"), {}, {});
    CheckpointHeader header;
    header.tensors = {{"x", DType::kF32, {100}}};
    writer->begin(header);
  }
  CHECK(directory.entries() == std::vector<std::string>{"old.safetensors"});
  CHECK(read_file(directory.path("old.safetensors")) == "old");
}

TEST_CASE("a program that is killed leaves nothing behind") {
  const TemporaryDirectory directory;
  const int unnamed = open(directory.path().c_str(), O_TMPFILE | O_WRONLY, 0600);
  if (unnamed < 0) {
    MESSAGE("skipped: no unnamed files on this file system");
    return;
  }
  close(unnamed);
  const pid_t child = fork();
  if (child == 0) {
    const auto file = create_stream(directory.path("x.safetensors"), {});
    const auto shards = create_directory(directory.path("dir"), {.shard_bytes = 1000});
    CheckpointHeader header;
    header.tensors = {{"a", DType::kU8, {900}}, {"b", DType::kU8, {900}}};
    const std::vector<std::byte> part(1000);
    for (CheckpointWriter* writer : {file.get(), shards.get()}) {
      writer->begin(header);
      writer->write(part);
    }
    raise(SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status));
  CHECK(directory.entries().empty());
}

TEST_CASE("the file system that knows no unnamed files") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("x");
  {
    PendingFile file(directory.path(), path, PendingFile::Naming::kTemporaryName);
    PendingFile second(directory.path(), path, PendingFile::Naming::kTemporaryName);
    CHECK(directory.entries().size() == 2);
    CHECK(directory.entries()[0].starts_with("x.tmp-"));
  }
  CHECK(directory.entries().empty());
  PendingFile file(directory.path(), path, PendingFile::Naming::kTemporaryName);
  write_fully(file.fd(), as_bytes("text"), "x");
  file.publish(path);
  CHECK(directory.entries() == std::vector<std::string>{"x"});
  CHECK(read_file(path) == "text");
}

TEST_CASE("a publication that fails leaves nothing behind") {
  for (const auto naming : {PendingFile::Naming::kUnnamed, PendingFile::Naming::kTemporaryName}) {
    const TemporaryDirectory directory;
    fs::create_directories(directory.path("x/full"));
    {
      PendingFile file(directory.path(), directory.path("x"), naming);
      check_error([&] { file.publish(directory.path("x")); }, ExitCode::kResource,
                  "x: cannot replace: ");
    }
    CHECK(directory.entries() == std::vector<std::string>{"x"});
  }
}

TEST_CASE("a link's target is replaced, the link stays; the umask counts") {
  const TemporaryDirectory directory;
  fs::create_directory(directory.path("real"));
  write_file(directory.path("real/x"), "old");
  fs::create_symlink("real/x", directory.path("link"));
  const mode_t saved = umask(027);
  ByteSink sink(directory.path("link"), {});
  sink.write("new");
  sink.finish();
  umask(saved);
  CHECK(fs::is_symlink(directory.path("link")));
  CHECK(read_file(directory.path("real/x")) == "new");
  struct stat status;
  REQUIRE(stat(directory.path("real/x").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0640);
}

TEST_CASE("output over input is safe for files, too") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("m.safetensors");
  write_zeros(*create_stream(path, {}), 100'000);
  const auto reader = open_safetensors(path);
  REQUIRE(reader->next());
  const auto writer = create_stream(path, {});
  writer->begin(one_tensor(100'000));
  std::vector<std::byte> bytes(100'000);
  reader->read(bytes);
  for (std::byte& byte : bytes) byte = std::byte{7};
  writer->write(bytes);
  writer->finish(nullptr);
  CHECK_FALSE(reader->next());  // and the old data still has its hash
  const WholeModel model = read_all(*open_safetensors(path));
  CHECK(model.tensors[0] == std::string(100'000, '\7'));
}

TEST_CASE("a full disk is a resource error") {
  check_error([] { write_zeros(*create_stream("/dev/full", {}), 10); }, ExitCode::kResource,
              "/dev/full: cannot write: No space left on device");
  check_error([] { write_zeros(*create_stream("/dev/full", {}), 1'000'000); }, ExitCode::kResource,
              "No space left on device");
  CHECK_NOTHROW(write_zeros(*create_stream("/dev/null", {}), 1'000'000));
}

TEST_CASE("a write that stops half-way is a resource error, and nothing stays") {
  signal(SIGXFSZ, SIG_IGN);
  rlimit saved;
  REQUIRE(getrlimit(RLIMIT_FSIZE, &saved) == 0);
  const TemporaryDirectory directory;
  rlimit limit = saved;
  limit.rlim_cur = 300'000;  // the first buffer fits, the second is written in part
  REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  check_error(
      [&] {
        ByteSink sink(directory.path("x"), {});
        sink.write(std::string(200'000, 'x'));
        sink.write(std::string(200'000, 'y'));
        sink.finish();
      },
      ExitCode::kResource, "x: cannot write: File too large");
  check_error([&] { write_zeros(*create_stream(directory.path("y"), {}), 400'000); },
              ExitCode::kResource, "y: cannot reserve");
  REQUIRE(setrlimit(RLIMIT_FSIZE, &saved) == 0);
  CHECK(directory.entries().empty());
}

TEST_CASE("a size that no disk has is refused before any data is made") {
  const TemporaryDirectory directory;
  const auto writer = create_stream(directory.path("x.safetensors"), {});
  check_error([&] { writer->begin(one_tensor(int64_t{1} << 61)); }, ExitCode::kResource,
              "x.safetensors: cannot reserve 230584300921369");
}

TEST_CASE("places that cannot be written") {
  const TemporaryDirectory directory;
  check_error([&] { create_stream(directory.path(), {}); }, ExitCode::kResource,
              "is a directory, cannot be written as a file");
  check_error([&] { create_stream(directory.path("none/x"), {}); }, ExitCode::kResource,
              "none/x: cannot create: No such file");
}

TEST_CASE("a reader that went away is exit 141") {
  signal(SIGPIPE, SIG_IGN);
  const TemporaryDirectory directory;
  const int saved = dup(STDOUT_FILENO);
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  dup2(ends[1], STDOUT_FILENO);
  close(ends[1]);
  close(ends[0]);
  ExitCode code = ExitCode::kOk;
  try {
    write_zeros(*create_stream("-", {}), 1000);
  } catch (const Error& error) {
    code = error.code();
  }
  dup2(saved, STDOUT_FILENO);
  close(saved);
  CHECK(static_cast<int>(code) == 141);
}

TEST_CASE("stdout as a file gets the same bytes as a path") {
  const TemporaryDirectory directory;
  write_zeros(*create_stream(directory.path("a"), {}), 300'000);
  {
    const StdoutToFile redirected(directory.path("b"));
    write_zeros(*create_stream("-", {}), 300'000);
  }
  CHECK(read_file(directory.path("a")) == read_file(directory.path("b")));
}

TEST_CASE("terminals are neither written nor read") {
  const int controller = posix_openpt(O_RDWR | O_NOCTTY);
  if (controller < 0 || grantpt(controller) != 0 || unlockpt(controller) != 0) {
    MESSAGE("skipped: no pseudo-terminals here");
    return;
  }
  const std::string terminal = ptsname(controller);
  const int fd = open(terminal.c_str(), O_RDWR | O_NOCTTY);
  REQUIRE(fd >= 0);
  check_error([&] { create_stream(terminal, {}); }, ExitCode::kUsage,
              "is a terminal, and a model is binary");
  CHECK_NOTHROW(create_stream(terminal, {.force_terminal = true}));
  const int saved = dup(STDIN_FILENO);
  dup2(fd, STDIN_FILENO);
  check_error([] { open_safetensors("-"); }, ExitCode::kUsage, "stdin is a terminal");
  check_error([] { detect_container("-"); }, ExitCode::kUsage, "stdin is a terminal");
  dup2(saved, STDIN_FILENO);
  close(saved);
  close(fd);
  close(controller);
}
