// Memory is claimed for bytes that are there, not for numbers in a header. This program's operator
// new counts.
#include <atomic>
#include <cstdlib>
#include <new>

#include "libcommon/io/gguf.h"
#include "tests/io/io_support.h"

namespace {
std::atomic<size_t> claimed{0};
}

void* operator new(size_t bytes) {
  claimed += bytes;
  if (void* memory = std::malloc(bytes ? bytes : 1)) return memory;
  throw std::bad_alloc();
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  claimed += bytes;
  return std::malloc(bytes ? bytes : 1);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

using namespace hone;
using namespace hone::test;

namespace {

// Bytes claimed in all while `where` is read or refused.
template <class Open>
size_t claimed_by(const std::string& where, Open open) {
  const size_t before = claimed;
  try {
    read_all(*open(where));
  } catch (const Error&) {
  }
  return claimed - before;
}

constexpr size_t kBound = 3 << 20;  // a pipe's buffer, the first step of a growing string

template <class Open>
void check_bounded(const std::string& bytes, Open open) {
  const TemporaryDirectory directory;
  write_file(directory.path("x"), bytes);
  CHECK(claimed_by(directory.path("x"), open) < kBound);
  const Stdin piped(Stdin::Kind::kPipe, bytes);
  CHECK(claimed_by("-", open) < kBound);
}

std::string gguf_header(uint64_t tensors, uint64_t keys) {
  return Bytes().raw("GGUF").put<uint32_t>(3).put(tensors).put(keys).text();
}

}  // namespace

TEST_CASE("operator new is counted") {
  const size_t before = claimed;
  CHECK(std::string(12345, 'x').size() == 12345);
  CHECK(claimed - before >= 12345);
}

TEST_CASE("a GGUF file of 160 bytes costs no gigabyte") {
  const auto open = [](const std::string& where) { return open_gguf(where); };
  const std::string rest(136, '\0');
  check_bounded(gguf_header(0, uint64_t{1} << 40) + rest, open);
  check_bounded(gguf_header(uint64_t{1} << 40, 0) + rest, open);
  check_bounded(gguf_header(1'000'000, 1'000'000) + rest, open);
  const auto with_key = [&](int32_t type, auto... fields) {
    Bytes key;
    key.string("k").put(type);
    (key.put(fields), ...);
    return gguf_header(0, 1) + key.text() + std::string(100, '\0');
  };
  constexpr uint64_t kMany = (1 << 30) - 1000;
  check_bounded(with_key(8, kMany), open);  // a string
  for (const int32_t type : {0, 4, 7, 8, 10, 12}) {
    check_bounded(with_key(9, type, kMany), open);  // an array of each kind
    check_bounded(with_key(9, type, uint64_t{1} << 20), open);
  }
}

TEST_CASE("a safetensors header claims no more than arrives") {
  const auto open = [](const std::string& where) { return open_safetensors(where); };
  check_bounded(Bytes().put<uint64_t>(99'999'999).raw("{").text(), open);
  check_bounded(
      safetensors_bytes(
          R"({"x":{"dtype":"U8","shape":[1152921504606846976],"data_offsets":[0,1152921504606846976]}})",
          "1234"),
      // The caller's buffer for the tensor is not the reader's.
      [](const std::string& where) {
        auto reader = open_safetensors(where);
        while (reader->next()) {
        }
        return reader;
      });
  check_bounded(safetensors_bytes(R"({"__metadata__":{"hone.stream":"1"},)"
                                  R"("hone.file/t":{"dtype":"U8","shape":[60000000],)"
                                  R"("data_offsets":[0,60000000]},)"
                                  R"("hone.trailer":{"dtype":"U8","shape":[4096],)"
                                  R"("data_offsets":[60000000,60004096]}})",
                                  "1234"),
                open);
}
