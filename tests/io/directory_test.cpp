// Hugging Face directories: what is found, what is refused, what is replaced.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "libcommon/io/pending_file.h"
#include "tests/io/io_support.h"

using namespace hone;
using namespace hone::test;
namespace fs = std::filesystem;

namespace {

constexpr SinkOptions kSmallShards = {.shard_bytes = 100};

CheckpointHeader four_tensors() {
  CheckpointHeader header;
  header.files = {{"config.json", "{}"}, {"tokenizer.json", "[1]"}, {"merges.txt", "a b"}};
  header.history = {"one", "two"};
  header.aliases = {{"head", "a"}, {"dangling", "none"}};
  header.tensors = {{"a", DType::kU8, {60}},
                    {"b", DType::kF16, {10}},  // 80 bytes with a: one shard
                    {"c", DType::kU8, {150}},  // larger than a shard
                    {"d", DType::kF32, {2, 3}}};
  return header;
}

std::string bytes_of(const CheckpointHeader& header, char first) {
  std::string all;
  for (const TensorInfo& tensor : header.tensors) {
    all += std::string(static_cast<size_t>(tensor.bytes()), first++);
  }
  return all;
}

void write_directory(const std::string& path, const SinkOptions& options, char first = 'a') {
  const CheckpointHeader header = four_tensors();
  const auto writer = create_directory(path, options);
  CHECK_FALSE(writer->is_stream());
  writer->begin(header);
  const std::string all = bytes_of(header, first);
  writer->write(std::as_bytes(std::span(all)));
  writer->finish(nullptr);
}

void check_directory(const std::string& path, char first = 'a') {
  const WholeModel model = read_all(*open_directory(path));
  CHECK(model.header.tensors == four_tensors().tensors);
  CHECK(model.header.files == four_tensors().files);
  CHECK(model.header.history == four_tensors().history);
  CHECK(model.header.aliases == std::map<std::string, std::string>{{"head", "a"}});
  std::string all;
  for (const std::string& tensor : model.tensors) all += tensor;
  CHECK(all == bytes_of(four_tensors(), first));
}

std::vector<std::string> names_in(const std::string& path) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(path)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

void refuse_directory(const std::string& path, const char* message) {
  check_error([&] { open_directory(path); }, ExitCode::kBadInput, message);
}

}  // namespace

TEST_CASE("a directory of one file") {
  const TemporaryDirectory directory;
  write_directory(directory.path("out"), {});
  CHECK(names_in(directory.path("out")) == std::vector<std::string>{"config.json", "merges.txt",
                                                                    "model.safetensors",
                                                                    "tokenizer.json"});
  CHECK(directory.entries() == std::vector<std::string>{"out"});
  CHECK(detect_container(directory.path("out")) == Container::kDirectory);
  check_directory(directory.path("out"));
  const std::string file = read_file(directory.path("out/model.safetensors"));
  CHECK(file.find(R"({"__metadata__":{"format":"pt","hone.producer":"one\ntwo","head":"a"},)") ==
        8);
}

TEST_CASE("shards and their index") {
  const TemporaryDirectory directory;
  const std::string out = directory.path("out/");
  write_directory(out, kSmallShards);
  CHECK(names_in(out) == std::vector<std::string>{
                             "config.json", "merges.txt", "model-00001-of-00003.safetensors",
                             "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors",
                             "model.safetensors.index.json", "tokenizer.json"});
  const Json index = parse_json(read_file(out + "model.safetensors.index.json"), "index");
  CHECK(index["metadata"]["total_size"] == 60 + 20 + 150 + 24);
  CHECK(index["weight_map"].dump() ==
        R"({"a":"model-00001-of-00003.safetensors","b":"model-00001-of-00003.safetensors",)"
        R"("c":"model-00002-of-00003.safetensors","d":"model-00003-of-00003.safetensors"})");
  check_directory(out);
}

TEST_CASE("random access reaches every shard") {
  const TemporaryDirectory directory;
  write_directory(directory.path("out"), kSmallShards);
  const auto reader = open_directory(directory.path("out"));
  REQUIRE(reader->random_access());
  std::string two(2, ' ');
  reader->read_at(3, 22, std::as_writable_bytes(std::span(two)));
  CHECK(two == "dd");
  CHECK(static_cast<char>(*reader->mapped(2)) == 'c');
}

TEST_CASE("a model directory is replaced, also while it is being read") {
  const TemporaryDirectory directory;
  const std::string out = directory.path("out");
  write_directory(out, kSmallShards, 'a');
  const auto reader = open_directory(out);
  REQUIRE(reader->next());
  write_directory(out, {}, 'p');
  CHECK(directory.entries() == std::vector<std::string>{"out"});
  CHECK(names_in(out).size() == 4);  // the old shards are gone
  check_directory(out, 'p');
  std::string sixty(60, ' ');
  reader->read(std::as_writable_bytes(std::span(sixty)));
  CHECK(sixty == std::string(60, 'a'));  // the reader still has what it opened
  REQUIRE(reader->next());
}

TEST_CASE("links and relative paths lead to the directory itself") {
  const TemporaryDirectory directory;
  fs::create_directory(directory.path("real"));
  fs::create_symlink("real", directory.path("link"));
  write_directory(directory.path("real/../link/"), {});
  CHECK(fs::is_symlink(directory.path("link")));
  check_directory(directory.path("real"));
}

TEST_CASE("what is no model directory is not replaced") {
  const TemporaryDirectory directory;
  const auto refused = [&](const char* name, const char* message) {
    check_error([&] { create_directory(directory.path(name), {}); }, ExitCode::kResource, message);
  };
  write_file(directory.path("file"), "x");
  refused("file", "file: exists and is not a directory");
  fs::create_directory(directory.path("notes"));
  write_file(directory.path("notes/thesis.tex"), "x");
  refused("notes", "exists and is not a model directory (no config.json)");
  write_file(directory.path("notes/config.json"), "{}");
  refused("notes", "holds 'thesis.tex', which is not part of a model and would be lost");
  fs::create_directory(directory.path("empty"));
  write_directory(directory.path("empty"), {});
  check_directory(directory.path("empty"));
  fs::create_directory(directory.path("empty/sub.json"));
  refused("empty", "holds 'sub.json'");
}

TEST_CASE("a writer that is given up leaves nothing behind") {
  const TemporaryDirectory directory;
  for (const SinkOptions& options : {SinkOptions{}, kSmallShards}) {
    const auto writer = create_directory(directory.path("out"), options);
    writer->begin(four_tensors());
    const std::vector<std::byte> part(200);
    writer->write(part);
  }
  CHECK(directory.entries().empty());
  // Failing late, when the shards are whole: the side file "a" stands where "a/b" needs a
  // directory.
  CheckpointHeader header = four_tensors();
  header.files = {{"a", "1"}, {"a/b", "2"}};
  const auto writer = create_directory(directory.path("out"), kSmallShards);
  writer->begin(header);
  const std::string all = bytes_of(header, 'a');
  writer->write(std::as_bytes(std::span(all)));
  check_error([&] { writer->finish(nullptr); }, ExitCode::kResource, "out/a/b: ");
  CHECK(directory.entries().empty());
}

TEST_CASE("a directory that cannot be made") {
  const TemporaryDirectory directory;
  const auto writer = create_directory(directory.path("none/out"), {});
  check_error([&] { writer->begin(four_tensors()); }, ExitCode::kResource,
              "none/out/model.safetensors: cannot create: No such file");
}

TEST_CASE("types and shard counts that a directory cannot hold") {
  const TemporaryDirectory directory;
  CheckpointHeader header;
  header.tensors = {{"w", DType::kQ4_0, {32}}};
  check_error([&] { create_directory(directory.path("out"), {})->begin(header); }, ExitCode::kUsage,
              "tensor 'w' has type Q4_0, which a Hugging Face directory");
  header.tensors.clear();
  for (int i = 0; i < 501; ++i) header.tensors.push_back({std::to_string(i), DType::kU8, {1}});
  check_error([&] { create_directory(directory.path("out"), {.shard_bytes = 1})->begin(header); },
              ExitCode::kUsage, "would take 501 shards");
}

TEST_CASE("side files: which are taken") {
  const TemporaryDirectory directory;
  const std::string out = directory.path("out");
  write_directory(out, {});
  for (const char* name : {"chat_template.jinja", "tokenizer.model", "notes.md", "weights.bin",
                           ".hidden.json", "pytorch_model.bin.index.json"}) {
    write_file(out + "/" + name, name);
  }
  fs::create_directory(out + "/added_tokens.json");
  fs::create_symlink("notes.md", out + "/vocab.txt");
  write_file(out + "/vocab.json", "");
  fs::resize_file(out + "/vocab.json", (64 << 20) + 1);
  const auto reader = open_directory(out);
  std::vector<std::string> names;
  for (const auto& [name, content] : reader->header().files) names.push_back(name);
  CHECK(names == std::vector<std::string>{"chat_template.jinja", "config.json", "merges.txt",
                                          "tokenizer.json", "tokenizer.model", "vocab.txt"});
  CHECK(reader->header().files.at("vocab.txt") == "notes.md");
}

TEST_CASE("directories that are refused") {
  const TemporaryDirectory directory;
  const std::string in = directory.path("in");
  fs::create_directory(in);
  check_error([&] { open_directory(in + "/none"); }, ExitCode::kResource,
              "in/none: cannot open: No such file or directory");
  refuse_directory(in, "in: holds no model.safetensors and no model.safetensors.index.json");
  write_file(in + "/model.gguf", "");
  refuse_directory(in, "give 'model.gguf' itself?");
  fs::remove(in + "/model.gguf");
  write_file(in + "/pytorch_model.bin", "");
  refuse_directory(in, "as 'pytorch_model.bin' only, a pickle, which may run code");
}

TEST_CASE("indices and shards that do not fit are refused") {
  const TemporaryDirectory directory;
  const std::string out = directory.path("out");
  const std::string index = out + "/model.safetensors.index.json";
  write_directory(out, kSmallShards);
  const std::string good = read_file(index);
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    REQUIRE(text.find(from) != std::string::npos);
    write_file(index, text.replace(text.find(from), from.size(), to));
  };
  replaced("weight_map", "weights");
  refuse_directory(out, "'weight_map' is missing");
  write_file(index, "[]");
  refuse_directory(out, "'weight_map' is missing");
  write_file(index, R"({"weight_map":{}})");
  refuse_directory(out, "'weight_map' is empty");
  write_file(index, R"({"weight_map":{"a":1}})");
  refuse_directory(out, "file of 'a' is not a string");
  write_file(index, R"({"weight_map":{"a":"../other/model.safetensors"}})");
  refuse_directory(out, "'../other/model.safetensors' is not a plain file name");
  replaced(
      "\"d\": \"model-00003-of-00003.safetensors\"",
      "\"d\": \"model-00003-of-00003.safetensors\", \"e\": \"model-00003-of-00003.safetensors\"");
  refuse_directory(out, "model-00003-of-00003.safetensors: lacks tensor 'e'");
  replaced("\"a\": \"model-00001", "\"a\": \"model-00002");
  refuse_directory(out, "holds tensor 'a', which the index places in 'model-00002");
  replaced("\"b\": \"model-00001-of-00003.safetensors\",", "");
  refuse_directory(out, "holds tensor 'b', which the index does not know");
  write_file(index, good);
  fs::rename(out + "/model-00002-of-00003.safetensors", directory.path("elsewhere"));
  refuse_directory(out, "model-00002-of-00003.safetensors: is missing, the index names it");
  REQUIRE(mkfifo((out + "/model-00002-of-00003.safetensors").c_str(), 0600) == 0);
  refuse_directory(out, "model-00002-of-00003.safetensors: is not a regular file");
  fs::remove(out + "/model-00002-of-00003.safetensors");
  write_file(out + "/model-00002-of-00003.safetensors", "x");
  refuse_directory(out, "model-00002-of-00003.safetensors: has 1 bytes, too few");
}

TEST_CASE("a hone-stream inside a directory is refused") {
  const TemporaryDirectory directory;
  fs::create_directory(directory.path("in"));
  const auto writer = create_stream(directory.path("in/model.safetensors"), {});
  writer->begin({});
  writer->finish(nullptr);
  refuse_directory(directory.path("in"), "is a hone-stream inside a directory");
}

TEST_CASE("Hugging Face's own directories are read") {
  const char* shared = std::getenv("HONE_SHARED");
  if (!shared) {
    MESSAGE("skipped: HONE_SHARED is not set");
    return;
  }
  const std::string models = std::string(shared) + "/models/";
  const auto reader = open_directory(models + "tinystories656K-hf");
  CHECK(reader->header().aliases ==
        std::map<std::string, std::string>{{"model.embed_tokens.weight", "lm_head.weight"}});
  CHECK(reader->header().files.size() == 5);
  CHECK(read_all(*reader).tensors.size() == reader->header().tensors.size());
  CHECK(read_all(*open_directory(models + "stories260K-hf-llama")).header.tensors.size() == 47);
}
