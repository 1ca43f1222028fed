// GGUF: the 320-byte file of the reference writer, byte for byte both ways, and each way in which a
// file can be wrong. The broken ones follow the handcrafted list of llama.cpp's test-gguf.
#include <functional>

#include "libcommon/io/gguf.h"
#include "tests/io/io_support.h"

using namespace hone;
using namespace hone::test;

namespace {

// general.architecture = "llama", llama.block_count = 1, tokenizer.ggml.tokens = ["a", "b"];
// t F32 [2, 3] = 1..6, u F16 = [1, -2]. Written by ggml itself.
std::string reference_file() {
  return Bytes()
      .raw(from_hex("47475546 03000000 0200000000000000 0300000000000000"))
      .raw(from_hex("1400000000000000"))
      .raw("general.architecture")
      .raw(from_hex("08000000 0500000000000000"))
      .raw("llama")
      .raw(from_hex("1100000000000000"))
      .raw("llama.block_count")
      .raw(from_hex("04000000 01000000"))
      .raw(from_hex("1500000000000000"))
      .raw("tokenizer.ggml.tokens")
      .raw(from_hex("09000000 08000000 0200000000000000"))
      .raw(from_hex("0100000000000000 61 0100000000000000 62"))
      .raw(from_hex("0100000000000000 74 02000000 0300000000000000 0200000000000000"))
      .raw(from_hex("00000000 0000000000000000"))
      .raw(from_hex("0100000000000000 75 01000000 0200000000000000 01000000 2000000000000000"))
      .pad(32)
      .raw(from_hex("0000803f 00000040 00004040 00008040 0000a040 0000c040"))
      .pad(32)
      .raw(from_hex("003c00c0"))
      .pad(32)
      .text();
}

// A file in the making: parts that a case replaces.
struct Draft {
  std::string magic = "GGUF";
  uint32_t version = 3;
  uint64_t tensors = 1;
  uint64_t keys = 0;
  Bytes key_bytes;
  std::string name = "x";
  uint32_t dimensions = 1;
  std::vector<int64_t> shape = {8};
  int32_t type = 0;
  uint64_t offset = 0;
  Bytes more_tensors;
  size_t alignment = 32;
  std::string data = std::string(32, 'd');

  std::string text() const {
    Bytes out;
    out.raw(magic).put(version).put(tensors).put(keys).raw(key_bytes.text());
    out.string(name).put(dimensions);
    for (const int64_t dimension : shape) out.put(dimension);
    out.put(type).put(offset).raw(more_tensors.text());
    return out.pad(alignment).raw(data).text();
  }
  Draft& key(std::string_view key, int32_t value_type) {
    ++keys;
    key_bytes.string(key).put(value_type);
    return *this;
  }
  Draft& tensor(std::string_view name, int64_t elements, uint64_t at) {
    ++tensors;
    more_tensors.string(name).put<uint32_t>(1).put(elements).put<int32_t>(0).put(at);
    return *this;
  }
};

struct Case {
  const char* name;
  std::function<void(Draft&)> change;
  const char* message;  // null: it is read
  const char* pipe_message = nullptr;
};

const std::vector<Case>& header_cases() {
  static const std::vector<Case> cases = {
      {"good", [](Draft&) {}, nullptr},
      {"bad magic", [](Draft& d) { d.magic = "GGUX"; }, "not a GGUF file, it begins with 'GGUX'"},
      {"version 0", [](Draft& d) { d.version = 0; }, "is of GGUF version 0, hone reads version 3"},
      {"version 1", [](Draft& d) { d.version = 1; }, "is of GGUF version 1"},
      {"version 2", [](Draft& d) { d.version = 2; }, "version 2, hone reads version 3; convert"},
      {"version of the future", [](Draft& d) { d.version = 4; }, "is of GGUF version 4"},
      {"big-endian", [](Draft& d) { d.version = 0x03000000; }, "is a big-endian GGUF file"},
      {"2^40 tensors", [](Draft& d) { d.tensors = uint64_t{1} << 40; },
       "tensors: 1099511627776 announced, at most"},
      {"-1 tensors", [](Draft& d) { d.tensors = UINT64_MAX; }, "announced, at most"},
      {"more tensors than there are", [](Draft& d) { d.tensors = 2; },
       "is a string of 7205759403792793600 bytes"},  // reads on into the data
      {"2^40 keys", [](Draft& d) { d.keys = uint64_t{1} << 40; },
       "keys: 1099511627776 announced, at most"},
      {"-1 keys", [](Draft& d) { d.keys = UINT64_MAX; }, "announced, at most"},
      {"no tensors, no keys",
       [](Draft& d) {
         d.tensors = 0;
         d.data = "";
       },
       "bytes behind the last tensor"},  // the draft's tensor header is left over
  };
  return cases;
}

const std::vector<Case>& key_cases() {
  static const std::vector<Case> cases = {
      {"key longer than 2^30", [](Draft& d) { (d.keys = 1, d.key_bytes.put(uint64_t{1} << 40)); },
       "name of key 0 is a string of 1099511627776 bytes, at most 2^30"},
      {"key longer than the file", [](Draft& d) { (d.keys = 1, d.key_bytes.put(uint64_t{999})); },
       "name of key 0: 999 announced, at most", "ends inside the header, at byte"},
      {"empty key", [](Draft& d) { d.key("", 0).key_bytes.put<uint8_t>(1); },
       "key 0 has an empty name"},
      {"key not UTF-8", [](Draft& d) { d.key("a\xff", 0).key_bytes.put<uint8_t>(1); },
       "key 'a\\xff' is not valid UTF-8"},
      {"unknown value type", [](Draft& d) { d.key("k", 13); }, "key 'k' is of unknown type 13"},
      {"negative value type", [](Draft& d) { d.key("k", -1); }, "key 'k' is of unknown type -1"},
      {"duplicate key",
       [](Draft& d) {
         d.key("k", 0).key_bytes.put<uint8_t>(1);
         d.key("k", 0).key_bytes.put<uint8_t>(1);
       },
       "duplicate key 'k'"},
      {"a bool of 2", [](Draft& d) { d.key("k", 7).key_bytes.put<uint8_t>(2); },
       "key 'k' holds 2 for a bool"},
      {"string longer than the file",
       [](Draft& d) { d.key("k", 8).key_bytes.put<uint64_t>(1 << 20); }, "1048576 announced",
       "ends inside the header"},
      {"array of arrays",
       [](Draft& d) { d.key("k", 9).key_bytes.put<int32_t>(9).put<uint64_t>(1); },
       "key 'k' is an array of arrays"},
      {"array of unknown type",
       [](Draft& d) { d.key("k", 9).key_bytes.put<int32_t>(77).put<uint64_t>(1); },
       "key 'k' is an array of unknown type 77"},
      {"array of 2^40",
       [](Draft& d) { d.key("k", 9).key_bytes.put<int32_t>(0).put(uint64_t{1} << 40); },
       "key 'k' has 1099511627776 elements, at most 2^30"},
      {"array longer than the file",
       [](Draft& d) { d.key("k", 9).key_bytes.put<int32_t>(12).put<uint64_t>(1 << 20); },
       "elements of key 'k': 1048576 announced, at most", "ends inside the header"},
      {"array of strings longer than the file",
       [](Draft& d) { d.key("k", 9).key_bytes.put<int32_t>(8).put<uint64_t>(1 << 20); },
       "elements of key 'k': 1048576 announced, at most", "2^30"},  // reads on into the data
      {"array element beyond int64",
       [](Draft& d) { d.key("k", 9).key_bytes.put<int32_t>(10).put<uint64_t>(1).put(UINT64_MAX); },
       "key 'k' holds 18446744073709551615, above 2^63"},
      {"alignment of a wrong type",
       [](Draft& d) { d.key("general.alignment", 5).key_bytes.put<int32_t>(32); },
       "'general.alignment' is not of type u32"},
      {"alignment 0", [](Draft& d) { d.key("general.alignment", 4).key_bytes.put<uint32_t>(0); },
       "'general.alignment' is 0, not a power of two"},
      {"alignment 13", [](Draft& d) { d.key("general.alignment", 4).key_bytes.put<uint32_t>(13); },
       "'general.alignment' is 13, not a power of two"},
      {"alignment of 2 GiB",
       [](Draft& d) { d.key("general.alignment", 4).key_bytes.put<uint32_t>(1u << 31); },
       "'general.alignment' is 2147483648, more than 1 MiB"},
      {"alignment 64 is honoured",
       [](Draft& d) {
         d.key("general.alignment", 4).key_bytes.put<uint32_t>(64);
         d.alignment = 64;
       },
       nullptr},
      {"one of several files", [](Draft& d) { d.key("split.count", 2).key_bytes.put<uint16_t>(3); },
       "is one of 3 parts of a split model"},
      {"a split of one", [](Draft& d) { d.key("split.count", 2).key_bytes.put<uint16_t>(1); },
       nullptr},
  };
  return cases;
}

const std::vector<Case>& tensor_cases() {
  static const std::vector<Case> cases = {
      {"name of 63 bytes", [](Draft& d) { d.name = std::string(63, 'n'); }, nullptr},
      {"name of 64 bytes", [](Draft& d) { d.name = std::string(64, 'n'); },
       "name longer than 63 bytes"},
      {"name not UTF-8", [](Draft& d) { d.name = "\x80"; }, "name is not valid UTF-8"},
      {"5 dimensions",
       [](Draft& d) {
         (d.dimensions = 5, d.shape = {1, 1, 1, 1, 8});
       },
       "tensor 'x' has 5 dimensions, at most 4"},
      {"2^32 - 1 dimensions", [](Draft& d) { d.dimensions = UINT32_MAX; },
       "has 4294967295 dimensions"},
      {"a scalar", [](Draft& d) { (d.dimensions = 0, d.shape = {}); }, nullptr},
      {"negative dimension", [](Draft& d) { d.shape = {-8}; }, "negative dimension in [-8]"},
      {"element count overflows",
       [](Draft& d) {
         d.dimensions = 2;
         d.shape = {int64_t{1} << 32, int64_t{1} << 32};
       },
       "shape [4294967296, 4294967296] overflows 64 bits"},
      {"byte count overflows", [](Draft& d) { d.shape = {int64_t{1} << 62}; },
       "size of [4611686018427387904] overflows 64 bits"},
      {"sum of sizes overflows",
       [](Draft& d) {
         d.shape = {int64_t{1} << 60};
         d.tensor("y", int64_t{1} << 60, uint64_t{1} << 62);
       },
       "sizes of the tensors overflow at tensor 'y'"},
      {"type hone lacks", [](Draft& d) { (d.type = 16, d.shape = {256}); },
       "tensor 'x' has type IQ2_XXS (16), which hone does not decode"},
      {"removed type", [](Draft& d) { d.type = 4; }, "has type Q4_2, removed from ggml (4)"},
      {"unknown type", [](Draft& d) { d.type = 99; }, "has type an unknown type (99)"},
      {"negative type", [](Draft& d) { d.type = -1; }, "has type an unknown type (-1)"},
      {"row not a whole block", [](Draft& d) { (d.type = 8, d.shape = {33}); },
       "rows of 33 elements are not whole blocks of Q8_0 (32)"},
      {"duplicate name", [](Draft& d) { d.tensor("x", 8, 32); }, "two tensors are named 'x'"},
      {"first offset not 0", [](Draft& d) { d.offset = 32; },
       "tensor 'x' has offset 32, the tensors before it end at 0"},
      {"offset not aligned", [](Draft& d) { (d.shape = {1}, d.tensor("y", 8, 4)); },
       "tensor 'y' has offset 4, the tensors before it end at 32"},
      {"hole", [](Draft& d) { d.tensor("y", 8, 64); },
       "tensor 'y' has offset 64, the tensors before it end at 32"},
      {"overlap", [](Draft& d) { d.tensor("y", 8, 0); },
       "tensor 'y' has offset 0, the tensors before it end at 32"},
      {"offset of 2^64 - 32", [](Draft& d) { d.tensor("y", 8, UINT64_MAX - 31); },
       "tensor 'y' has offset 18446744073709551584"},
      {"too little data", [](Draft& d) { d.data.resize(31); }, "tensor 'x' ends at byte",
       "ends inside tensor 'x' (31 of 32 bytes); was the program before it"},
      {"no data", [](Draft& d) { d.data = ""; }, "incomplete download?",
       "ends inside tensor 'x' (0 of 32 bytes)"},
      {"last padding left out", [](Draft& d) { (d.shape = {2}, d.data.resize(8)); }, nullptr},
      {"bytes behind the padding", [](Draft& d) { d.data += "!"; },
       "has 1 bytes behind the last tensor", "has bytes behind the last tensor"},
  };
  return cases;
}

void read_whole(const std::string& where) { read_all(*open_gguf(where)); }

void run_cases(const std::vector<Case>& cases) {
  const TemporaryDirectory directory;
  const std::string path = directory.path("model.gguf");
  for (const Case& c : cases) {
    CAPTURE(std::string(c.name));
    Draft draft;
    c.change(draft);
    write_file(path, draft.text());
    if (!c.message) {
      CHECK_NOTHROW(read_whole(path));
    } else {
      check_error([&] { read_whole(path); }, ExitCode::kBadInput, c.message);
    }
    const Stdin piped(Stdin::Kind::kPipe, draft.text());
    if (!c.message) {
      CHECK_NOTHROW(read_whole("-"));
    } else {
      // Counts are bounded by the file's size, or by the longest header read from a pipe.
      const char* message = c.pipe_message ? c.pipe_message : c.message;
      if (std::string_view(message).find("1 bytes behind") != std::string_view::npos) continue;
      check_error([&] { read_whole("-"); }, ExitCode::kBadInput, message);
    }
  }
}

GgufKeys reference_keys() {
  auto tokens = std::make_shared<GgufArray>();
  tokens->element_type = 8;
  tokens->strings = {"a", "b"};
  GgufKeys keys;
  keys.entries.emplace_back("general.architecture", std::string("llama"));
  keys.entries.emplace_back("llama.block_count", uint32_t{1});
  keys.entries.emplace_back("tokenizer.ggml.tokens", std::move(tokens));
  return keys;
}

}  // namespace

TEST_CASE("ggml's own file is read") {
  REQUIRE(reference_file().size() == 0x140);
  const Stdin piped(Stdin::Kind::kPipe, reference_file());
  const auto reader = open_gguf("-");
  CHECK(reader->keys().string("general.architecture", "f") == "llama");
  CHECK(reader->keys().integer("llama.block_count", "f") == 1);
  const auto& tokens =
      std::get<std::shared_ptr<GgufArray>>(*reader->keys().find("tokenizer.ggml.tokens"));
  CHECK(tokens->strings == std::vector<std::string>{"a", "b"});
  const WholeModel model = read_all(*reader, 5);
  REQUIRE(model.header.tensors.size() == 2);
  CHECK(model.header.tensors[0] == TensorInfo{"t", DType::kF32, {2, 3}});
  CHECK(model.header.tensors[1] == TensorInfo{"u", DType::kF16, {2}});
  CHECK(model.tensors[0] == from_hex("0000803f 00000040 00004040 00008040 0000a040 0000c040"));
  CHECK(model.tensors[1] == from_hex("003c00c0"));
}

TEST_CASE("ggml's own file is written byte for byte") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("model.gguf");
  const auto writer = create_gguf(path, reference_keys(), {});
  CHECK_FALSE(writer->is_stream());
  CheckpointHeader header;
  header.tensors = {{"t", DType::kF32, {2, 3}}, {"u", DType::kF16, {2}}};
  writer->begin(header);
  const std::string data =
      from_hex("0000803f 00000040 00004040 00008040 0000a040 0000c040 003c00c0");
  writer->write(std::as_bytes(std::span(data)));
  CHECK(directory.entries().empty());
  writer->finish(nullptr);
  CHECK(read_file(path) == reference_file());
  CHECK(directory.entries() == std::vector<std::string>{"model.gguf"});
}

TEST_CASE("headers that are wrong") { run_cases(header_cases()); }
TEST_CASE("keys that are wrong") { run_cases(key_cases()); }
TEST_CASE("tensors that are wrong") { run_cases(tensor_cases()); }

TEST_CASE("every value type survives writing and reading") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("keys.gguf");
  GgufKeys keys;
  keys.entries = {{"u8", uint8_t{200}}, {"i8", int8_t{-100}}, {"u16", uint16_t{60000}},
                  {"i16", int16_t{-1}}, {"u32", UINT32_MAX},  {"i32", INT32_MIN},
                  {"f32", 1.5f},        {"bool", true},       {"string", std::string("a\0b", 3)},
                  {"u64", UINT64_MAX},  {"i64", INT64_MIN},   {"f64", 0.1}};
  for (const int32_t type : {0, 1, 2, 3, 4, 5, 7, 10, 11}) {
    auto array = std::make_shared<GgufArray>();
    array->element_type = type;
    array->integers = {1, 0, 1};
    keys.entries.emplace_back("array " + std::to_string(type), array);
  }
  for (const int32_t type : {6, 12}) {
    auto array = std::make_shared<GgufArray>();
    array->element_type = type;
    array->floats = {0.5, -2};
    keys.entries.emplace_back("array " + std::to_string(type), array);
  }
  const auto writer = create_gguf(path, keys, {});
  writer->begin({});
  writer->finish(nullptr);
  const auto reader = open_gguf(path);
  REQUIRE(reader->keys().entries.size() == keys.entries.size());
  for (size_t i = 0; i < keys.entries.size(); ++i) {
    const auto& [name, value] = reader->keys().entries[i];
    CHECK(name == keys.entries[i].first);
    REQUIRE(value.index() == keys.entries[i].second.index());
    if (const auto* array = std::get_if<std::shared_ptr<GgufArray>>(&value)) {
      const auto& expected = std::get<std::shared_ptr<GgufArray>>(keys.entries[i].second);
      CHECK((*array)->element_type == expected->element_type);
      CHECK((*array)->integers == expected->integers);
      CHECK((*array)->floats == expected->floats);
    } else {
      CHECK(value == keys.entries[i].second);
    }
  }
}

TEST_CASE("keys are had by type, or refused by name") {
  GgufKeys keys;
  keys.entries = {{"n", int8_t{-4}},
                  {"big", UINT64_MAX},
                  {"f", 2.5f},
                  {"flag", true},
                  {"s", std::string("text")}};
  CHECK(keys.integer("n", "m.gguf") == -4);
  CHECK(keys.number("f", "m.gguf") == 2.5);
  CHECK(keys.number("n", "m.gguf") == -4);
  CHECK(keys.string("s", "m.gguf") == "text");
  const auto refused = [&](auto action, const char* message) {
    check_error(action, ExitCode::kBadInput, message);
  };
  refused([&] { keys.integer("none", "m.gguf"); }, "m.gguf: key 'none' is missing");
  refused([&] { keys.integer("f", "m.gguf"); }, "key 'f' is of type f32, expected an integer");
  refused([&] { keys.integer("flag", "m.gguf"); },
          "key 'flag' is of type bool, expected an integer");
  refused([&] { keys.integer("big", "m.gguf"); }, "key 'big' is 18446744073709551615, larger");
  refused([&] { keys.number("s", "m.gguf"); }, "key 's' is of type string, expected a number");
  refused([&] { keys.string("n", "m.gguf"); }, "key 'n' is of type i8, expected a string");
}

TEST_CASE("what GGUF cannot hold is not written") {
  const TemporaryDirectory directory;
  const auto refused = [&](TensorInfo tensor, const char* message) {
    const auto writer = create_gguf(directory.path("x.gguf"), {}, {});
    CheckpointHeader header;
    header.tensors = {std::move(tensor)};
    check_error([&] { writer->begin(header); }, ExitCode::kUsage, message);
  };
  refused({"w", DType::kF8E4M3, {4}}, "tensor 'w' has type F8E4M3, which GGUF cannot hold");
  refused({"w", DType::kF32, {1, 1, 1, 1, 4}}, "tensor 'w' has 5 dimensions, GGUF allows 4");
  refused({std::string(64, 'w'), DType::kF32, {4}}, "longer than the 63 bytes");
  CHECK(directory.entries().empty());
}
