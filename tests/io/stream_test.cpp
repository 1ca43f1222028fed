// hone-stream 1: exact bytes, what survives a pipe, and what is noticed when it is damaged.
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "tests/io/io_support.h"

using namespace hone;
using namespace hone::test;

namespace {

std::string pattern(size_t bytes, unsigned seed) {
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
  return text;
}

void write_model(CheckpointWriter& writer, const CheckpointHeader& header,
                 const std::vector<std::string>& tensors, size_t step = 1000,
                 const Json& statistics = nullptr) {
  writer.begin(header);
  std::string all;
  for (const std::string& tensor : tensors) all += tensor;
  for (size_t at = 0; at < all.size(); at += step) {
    writer.write(std::as_bytes(std::span(all)).subspan(at, std::min(step, all.size() - at)));
  }
  writer.finish(statistics);
}

CheckpointHeader sample_header() {
  CheckpointHeader header;
  header.files = {{"config.json", "{\"model_type\": \"llama\"}\n"},
                  {"tokenizer.model", std::string("\xff\0binary", 8)},
                  {"tokenizer.json", std::string((1 << 20) + 1, 't')},
                  {"sub/chat_template.jinja", "{{ \"\u79d2\" }}"}};
  header.history = {"hone-prune 0.1.0 --pattern 2:4 m", "hone-quantize 0.1.0 --scheme w4a16"};
  header.tensors = {{"embed", DType::kBF16, {100, 3}},
                    {"empty", DType::kF32, {0, 8}},
                    {"q", DType::kQ4_0, {2, 3, 64}},
                    {"v", DType::kQ8_0, {32}},
                    {"s", DType::kI64, {}},
                    {"f8", DType::kF8E4M3, {64}}};
  header.aliases = {{"head", "embed"}};
  return header;
}

std::vector<std::string> sample_tensors() {
  std::vector<std::string> tensors;
  for (const TensorInfo& tensor : sample_header().tensors) {
    tensors.push_back(pattern(static_cast<size_t>(tensor.bytes()), 7));
  }
  return tensors;
}

void check_sample(CheckpointReader& reader, size_t step = 1 << 20) {
  const WholeModel model = read_all(reader, step);
  const CheckpointHeader expected = sample_header();
  CHECK(model.header.files == expected.files);
  CHECK(model.header.history == expected.history);
  CHECK(model.header.tensors == expected.tensors);
  CHECK(model.header.aliases == expected.aliases);
  CHECK(model.tensors == sample_tensors());
  CHECK(model.trailer.dump() == R"({"sparsity":0.5,"tensors":6})");
}

const Json kStatistics = {{"sparsity", 0.5}, {"tensors", 6}};

// One BF16 tensor of 6 bytes and config.json: what the golden bytes below are.
std::string small_stream() {
  const TemporaryDirectory directory;
  CheckpointHeader header;
  header.files = {{"config.json", "{}"}};
  header.history = {"hone-test 1"};
  header.tensors = {{"a", DType::kBF16, {3}}};
  const std::string path = directory.path("s.safetensors");
  write_model(*create_stream(path, {}), header, {"abcdef"}, 6, {{"n", 1}});
  return read_file(path);
}

size_t data_start(const std::string& stream) {
  uint64_t length;
  std::memcpy(&length, stream.data(), sizeof length);
  return 8 + length;
}

}  // namespace

TEST_CASE("a small stream, byte for byte") {
  std::string json =
      R"({"__metadata__":{"hone.stream":"1","format":"pt","hone.producer":"hone-test 1",)"
      R"("hone.file/config.json":"{}"},)"
      R"("a":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]},)"
      R"("hone.pad/0":{"dtype":"U8","shape":[58],"data_offsets":[6,64]},)"
      R"("hone.trailer":{"dtype":"U8","shape":[4096],"data_offsets":[64,4160]}})";
  while ((8 + json.size()) % 64 != 0) json += ' ';
  const std::string data = "abcdef" + std::string(58, '\0');
  // XXH3-128 of those 64 bytes, by the reference library's Python binding.
  std::string trailer = R"({"xxh3_128":"52ff4bc8f8c9524b0ecd9bf70490a306","statistics":{"n":1}})";
  trailer.resize(4096, ' ');
  CHECK(small_stream() == safetensors_bytes(json, data + trailer));
}

TEST_CASE("a history line stays one line") {
  const TemporaryDirectory directory;
  CheckpointHeader header;
  header.history = {"hone-x --set 'a\nb'", "hone-y"};
  write_model(*create_stream(directory.path("s"), {}), header, {});
  CHECK(open_safetensors(directory.path("s"))->header().history ==
        std::vector<std::string>{"hone-x --set 'a b'", "hone-y"});
}

TEST_CASE("equal inputs give equal bytes") { CHECK(small_stream() == small_stream()); }

TEST_CASE("everything survives a file, a redirection and a pipe") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("m.safetensors");
  const auto writer = create_stream(path, {});
  CHECK(writer->is_stream());
  write_model(*writer, sample_header(), sample_tensors(), 777, kStatistics);
  check_sample(*open_safetensors(path));
  check_sample(*open_safetensors(path), 100);
  const std::string bytes = read_file(path);
  for (const auto kind : {Stdin::Kind::kFile, Stdin::Kind::kPipe}) {
    const Stdin redirected(kind, bytes);
    CHECK(detect_container("-") == Container::kSafetensors);  // looks without consuming
    CHECK(detect_container("-") == Container::kSafetensors);
    check_sample(*open_safetensors("-"));
  }
}

TEST_CASE("tensors of a stream start at multiples of 64") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("m.safetensors");
  write_model(*create_stream(path, {}), sample_header(), sample_tensors());
  const auto reader = open_safetensors(path);
  for (int64_t i = 0; i < 6; ++i) {
    CHECK(reinterpret_cast<uintptr_t>(reader->mapped(i)) % 64 == 0);
  }
}

TEST_CASE("tensors that are passed over still count for the hash") {
  const Stdin piped(Stdin::Kind::kPipe, small_stream());
  const auto reader = open_safetensors("-");
  while (reader->next()) {
  }
  CHECK(reader->trailer().dump() == R"({"n":1})");
}

TEST_CASE("every altered data byte is noticed") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("s.safetensors");
  const std::string good = small_stream();
  for (size_t i = data_start(good); i < data_start(good) + 64; ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    write_file(path, bad);
    check_error([&] { read_all(*open_safetensors(path)); }, ExitCode::kBadInput,
                "; altered or damaged on the way?");
    if (i % 16 != 0) continue;
    const Stdin piped(Stdin::Kind::kPipe, bad);
    check_error([&] { read_all(*open_safetensors("-")); }, ExitCode::kBadInput,
                "(stdin): data has hash ");
  }
}

TEST_CASE("streams that are wrong") {
  struct Case {
    const char* metadata;
    const char* tensors;
    size_t bytes;
    const char* message;
  };
  const auto trailer = [](size_t begin) {
    return R"("hone.trailer":{"dtype":"U8","shape":[4096],"data_offsets":[)" +
           std::to_string(begin) + "," + std::to_string(begin + 4096) + "]}";
  };
  const std::string at0 = trailer(0), at8 = trailer(8), at4 = trailer(4);
  const std::string eight = R"("x":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)" + at8;
  const std::string behind = R"("x":{"dtype":"U8","shape":[1],"data_offsets":[4096,4097]},)" + at0;
  const std::string short_trailer =
      R"("hone.trailer":{"dtype":"U8","shape":[8],"data_offsets":[0,8]})";
  const std::string wide_trailer =
      R"("hone.trailer":{"dtype":"I16","shape":[2048],"data_offsets":[0,4096]})";
  const std::string unknown = R"("hone.x":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)" + at8;
  const std::string late_file =
      R"("x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
      R"("hone.file/t":{"dtype":"U8","shape":[4],"data_offsets":[4,8]},)" +
      at8;
  const auto file = [&](const char* path) {
    return "\"hone.file/" + std::string(path) +
           R"(":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)" + at8;
  };
  const std::string
      up = file("../x"),
      twice = file("t"),
      large = R"("hone.file/t":{"dtype":"U8","shape":[67108865],"data_offsets":[0,67108865]},)" +
              trailer(67108865);
  const Case cases[] = {
      {R"("hone.stream":"2")", at0.c_str(), 4096, "is a hone-stream of version '2'"},
      {R"("hone.stream":"1")", R"("x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})", 1,
       "hone-stream without a trailer"},
      {R"("hone.stream":"1")", behind.c_str(), 4097, "tensor 'x' stands behind hone.trailer"},
      {R"("hone.stream":"1")", short_trailer.c_str(), 8, "is not of 4096 bytes"},
      {R"("hone.stream":"1")", wide_trailer.c_str(), 4096, "is not a row of U8"},
      {R"("hone.stream":"1")", unknown.c_str(), 4104, "is of no kind that a hone-stream 1 holds"},
      {R"("hone.stream":"1")", late_file.c_str(), 4104, "file 't' stands behind the first weight"},
      {R"("hone.stream":"1")", at0.c_str(), 4096, "hone.trailer: not valid JSON"},
      {R"("hone.stream":"1")", up.c_str(), 4104, "leads out of the model's directory"},
      {R"("hone.stream":"1","hone.file/t":"")", twice.c_str(), 4104,
       "side file 't' is there twice"},
      {R"("hone.stream":"1")", large.c_str(), 4096, "incomplete download?"},
      {R"("hone.stream":"1","hone.file//etc/x":"")", at0.c_str(), 4096, "absolute path"},
      {R"("hone.stream":"1","hone.file/a/../../x":"")", at0.c_str(), 4096, "leads out of"},
      {R"("hone.stream":"1","hone.file/..":"")", at0.c_str(), 4096, "leads out of"},
      {R"("hone.stream":"1","hone.file/a//b":"")", at0.c_str(), 4096, "not a plain relative path"},
      {R"("hone.stream":"1","hone.file/":"")", at0.c_str(), 4096, "not a plain relative path"},
      {R"("hone.stream":"1","hone.file/a\u0000b":"")", at0.c_str(), 4096, "NUL in its path"},
      {R"("hone.stream":"1","hone.file/model.safetensors":"")", at0.c_str(), 4096,
       "that is a name for weights"},
      {R"("hone.stream":"1","hone.types":"[]")", at0.c_str(), 4096,
       "hone.types is not a JSON object"},
      {R"("hone.stream":"1","hone.types":"{\"y\":{}}")", eight.c_str(), 4104,
       "hone.types names 'y', which is not here"},
      {R"("hone.stream":"1","hone.types":"{\"x\":{\"type\":\"F32\",\"shape\":[2]}}")",
       eight.c_str(), 4104, "not a block type"},
      {R"("hone.stream":"1","hone.types":"{\"x\":{\"type\":\"Q4_0\"}}")", eight.c_str(), 4104,
       "no shape"},
      {R"("hone.stream":"1","hone.types":"{\"x\":{\"type\":\"Q4_0\",\"shape\":[33]}}")",
       eight.c_str(), 4104, "not whole blocks"},
      {R"("hone.stream":"1","hone.types":"{\"x\":{\"type\":\"Q4_0\",\"shape\":[32]}}")",
       eight.c_str(), 4104, "Q4_0 [32] is not stored as U8 [8]"},
  };
  const TemporaryDirectory directory;
  const std::string path = directory.path("s.safetensors");
  for (const Case& c : cases) {
    CAPTURE(std::string(c.message));
    const std::string json =
        "{\"__metadata__\":{" + std::string(c.metadata) + "}," + c.tensors + "}";
    write_file(path, safetensors_bytes(json, std::string(c.bytes, '!')));
    check_error([&] { read_all(*open_safetensors(path)); }, ExitCode::kBadInput, c.message);
  }
}

TEST_CASE("a file tensor above 64 MiB is refused before it is read") {
  const std::string trailer =
      R"("hone.trailer":{"dtype":"U8","shape":[4096],"data_offsets":[67108865,67112961]})";
  const Stdin piped(
      Stdin::Kind::kPipe,
      safetensors_bytes(
          R"({"__metadata__":{"hone.stream":"1"},)"
          R"("hone.file/t":{"dtype":"U8","shape":[67108865],"data_offsets":[0,67108865]},)" +
              trailer + "}",
          "abc"));
  check_error([] { open_safetensors("-"); }, ExitCode::kBadInput,
              "side file 't': 67108865 bytes, at most 64 MiB travel");
}

TEST_CASE("side files that no reader would take are not written") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("s");
  const auto refused = [&](const char* name, size_t bytes, const char* message) {
    CheckpointHeader header;
    header.files = {{name, std::string(bytes, 'x')}};
    check_error([&] { create_stream(path, {})->begin(header); }, ExitCode::kBadInput, message);
    check_error([&] { create_directory(path, {})->begin(header); }, ExitCode::kBadInput, message);
  };
  refused("t", (64 << 20) + 1, "side file 't': 67108865 bytes, at most 64 MiB travel");
  refused("../t", 1, "side file '../t': leads out of the model's directory");
  refused("model.safetensors", 1, "that is a name for weights");
  CHECK(directory.entries().empty());
}

TEST_CASE("statistics that do not fit the trailer are left out") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("s.safetensors");
  write_model(*create_stream(path, {}), {}, {}, 1, {{"long", std::string(5000, 'x')}});
  const auto reader = open_safetensors(path);
  CHECK_FALSE(reader->next());
  CHECK(reader->trailer().is_null());
}

TEST_CASE("a producer that is killed is noticed by name") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {  // writes a stream to stdout and dies in its middle
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    const auto writer = create_stream("-", {});
    CheckpointHeader header;
    header.tensors = {{"first", DType::kU8, {100000}}, {"second", DType::kU8, {1000000}}};
    writer->begin(header);
    const std::vector<std::byte> part(700000);
    writer->write(part);
    _exit(9);
  }
  close(ends[1]);
  const int saved = dup(STDIN_FILENO);
  dup2(ends[0], STDIN_FILENO);
  close(ends[0]);
  check_error([] { read_all(*open_safetensors("-")); }, ExitCode::kBadInput,
              "of 1000000 bytes); was the program before it in the pipe stopped?");
  dup2(saved, STDIN_FILENO);
  close(saved);
  waitpid(child, nullptr, 0);
}
