// A small model of each container, cut at every byte, and with every byte of its header altered:
// an Error with exit code 3, or a model that is still valid, and never anything else. Run under the
// sanitizers, this is the proof that no reader trusts a number.
#include <vector>

#include "libcommon/io/gguf.h"
#include "tests/io/io_support.h"

using namespace hone;
using namespace hone::test;

namespace {

using Open = std::unique_ptr<CheckpointReader> (*)(const std::string&);

std::unique_ptr<CheckpointReader> open_any_gguf(const std::string& where) {
  return open_gguf(where);
}

struct Sample {
  std::string bytes;
  size_t header_bytes;
  Open open;
};

void fill(CheckpointWriter& writer) {
  CheckpointHeader header;
  header.files = {{"config.json", "{}"}, {"t.model", "\xff"}};
  header.history = {"a"};
  header.tensors = {{"a", DType::kF32, {2, 3}}, {"b", DType::kQ8_0, {32}}};
  if (!writer.is_stream()) header.files.clear();
  writer.begin(header);
  const std::vector<std::byte> bytes(24 + 34, std::byte{0x5a});
  writer.write(bytes);
  writer.finish(nullptr);
}

Sample stream_sample() {
  const TemporaryDirectory directory;
  fill(*create_stream(directory.path("x"), {}));
  std::string bytes = read_file(directory.path("x"));
  const size_t header = bytes.size() - 4096 - 3 * 64;
  return {std::move(bytes), header, open_safetensors};
}

Sample safetensors_sample() {
  const std::string json =
      R"({"__metadata__":{"format":"pt","h":"a"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
      R"("b":{"dtype":"U8","shape":[3],"data_offsets":[24,27]}}  )";
  return {safetensors_bytes(json, std::string(27, 'd')), 8 + json.size(), open_safetensors};
}

Sample gguf_sample() {
  const TemporaryDirectory directory;
  auto tokens = std::make_shared<GgufArray>();
  tokens->element_type = 8;
  tokens->strings = {"<s>", "", "b"};
  auto scores = std::make_shared<GgufArray>();
  scores->element_type = 6;
  scores->floats = {0, -1.5};
  GgufKeys keys;
  keys.entries = {{"general.architecture", std::string("llama")},
                  {"general.alignment", uint32_t{32}},
                  {"tokens", tokens},
                  {"scores", scores},
                  {"flag", true}};
  fill(*create_gguf(directory.path("x"), keys, {}));
  std::string bytes = read_file(directory.path("x"));
  const size_t header = bytes.size() - 32 - 64;
  return {std::move(bytes), header, open_any_gguf};
}

// True where the model was read whole; false where an Error of bad input was thrown.
bool read_or_refuse(const Sample& sample, const std::string& where) {
  try {
    const auto reader = sample.open(where);
    read_all(*reader);
    return true;
  } catch (const Error& error) {
    REQUIRE(static_cast<int>(error.code()) == 3);
    REQUIRE(std::string(error.what()).find(where == "-" ? "(stdin)" : where) == 0);
    return false;
  }
}

// Bytes that the last tensor needs not: the padding behind it, in GGUF.
void check_every_cut(const Sample& sample, size_t dispensable = 0) {
  const TemporaryDirectory directory;
  const std::string path = directory.path("x");
  write_file(path, sample.bytes);
  REQUIRE(read_or_refuse(sample, path));
  for (size_t length = 0; length + dispensable < sample.bytes.size(); ++length) {
    CAPTURE(length);
    write_file(path, std::string_view(sample.bytes).substr(0, length));
    REQUIRE_FALSE(read_or_refuse(sample, path));
    // Through a pipe: all of the header, then a sample of the data.
    if (length > sample.header_bytes && length % 61 != 0) continue;
    const Stdin piped(Stdin::Kind::kPipe, sample.bytes.substr(0, length));
    REQUIRE_FALSE(read_or_refuse(sample, "-"));
  }
}

void check_every_flip(const Sample& sample) {
  const TemporaryDirectory directory;
  const std::string path = directory.path("x");
  size_t refused = 0;
  for (size_t at = 0; at < sample.header_bytes; ++at) {
    for (const int flip : {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff}) {
      CAPTURE(at);
      CAPTURE(flip);
      std::string bytes = sample.bytes;
      bytes[at] = static_cast<char>(bytes[at] ^ flip);
      write_file(path, bytes);
      if (!read_or_refuse(sample, path)) ++refused;
      if (flip != 0xff && flip != 0x40) continue;
      const Stdin piped(Stdin::Kind::kPipe, bytes);
      read_or_refuse(sample, "-");
    }
  }
  CHECK(refused > sample.header_bytes * 4);  // letters of names may change: the model is as valid
}

}  // namespace

TEST_CASE("a safetensors file cut anywhere") { check_every_cut(safetensors_sample()); }
TEST_CASE("a stream cut anywhere") { check_every_cut(stream_sample()); }
TEST_CASE("a GGUF file cut anywhere") { check_every_cut(gguf_sample(), 64 - 34); }

TEST_CASE("a safetensors header with any byte altered") { check_every_flip(safetensors_sample()); }
TEST_CASE("a stream's header with any byte altered") { check_every_flip(stream_sample()); }
TEST_CASE("a GGUF header with any byte altered") { check_every_flip(gguf_sample()); }
