#include <sys/stat.h>

#include <thread>

#include "libcommon/io/gguf.h"
#include "tests/io/io_support.h"

using namespace hone;
using namespace hone::test;

TEST_CASE("containers are told apart by content") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("misleading.txt");
  write_file(path, safetensors_bytes("{}", ""));
  CHECK(detect_container(path) == Container::kSafetensors);
  write_file(path, "GGUF");
  CHECK(detect_container(path) == Container::kGguf);
  CHECK(detect_container(directory.path()) == Container::kDirectory);
}

TEST_CASE("what is no model is named") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("m");
  const auto refused = [&](std::string_view bytes, const char* message) {
    write_file(path, bytes);
    check_error([&] { detect_container(path); }, ExitCode::kBadInput, message);
  };
  refused("", "m: is empty; incomplete download?");
  refused("x", "m: neither safetensors nor GGUF");
  refused("PK\x03\x04 and so on", "a zip file, as PyTorch's .bin and .pt are");
  refused("\x80\x02}q", "a pickle, which may run code");
  refused("version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer");
  refused("<!DOCTYPE html>", "a web page?");
  refused("{\"model_type\": 1}", "JSON; give the model's directory");
  refused(Bytes().put<uint64_t>(100'000'001).raw("{").text(), "neither safetensors nor GGUF");
  refused(Bytes().put<uint64_t>(10).raw("[").text(), "neither safetensors nor GGUF");
  const Stdin piped(Stdin::Kind::kPipe, "");
  check_error([] { detect_container("-"); }, ExitCode::kBadInput,
              "(stdin): is empty; did the program before it in the pipe fail?");
}

TEST_CASE("a named pipe is looked at and then read from its start") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("fifo");
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  std::thread writer([&] {
    const auto sink = create_gguf(path, {}, {});
    CheckpointHeader header;
    header.tensors = {{"x", DType::kI8, {3}}};
    sink->begin(header);
    sink->write(std::as_bytes(std::span("abc", 3)));
    sink->finish(nullptr);
  });
  CHECK(detect_container(path) == Container::kGguf);
  const auto reader = open_gguf(path);
  CHECK(read_all(*reader).tensors == std::vector<std::string>{"abc"});
  writer.join();
}
