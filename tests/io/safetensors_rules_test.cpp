// Each rule of the safetensors format, broken by hand, with the message that names it. The same
// bytes are tried as a file, as stdin redirected from a file, and through a pipe.
#include <vector>

#include "tests/io/io_support.h"

using namespace hone;
using namespace hone::test;

namespace {

// One F32 tensor of two elements, with the fields given.
std::string one(const std::string& entry) { return "{\"x\":{" + entry + "}}"; }

const std::string kGood = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";
const std::string kEight = "12345678";

struct Rule {
  const char* name;
  std::string bytes;
  const char* message;       // from a file
  const char* pipe_message;  // from a pipe; null: the same
};

std::vector<Rule> broken_rules() {
  const auto file = [](const std::string& json, const std::string& data = kEight) {
    return safetensors_bytes(json, data);
  };
  const auto two = [&](const char* a, const char* b, const std::string& data) {
    return file(std::string(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)") + a +
                    R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + b + "}}",
                data);
  };
  const auto length = [](uint64_t n) { return Bytes().put(n); };
  return {
      {"empty file", "", "is empty", nullptr},
      {"no length", "1234567", "has 7 bytes, too few", nullptr},
      {"header above the cap", length(100'000'001).raw("{}").text(),
       "declares a header of 100000001 bytes, at most 100000000", nullptr},
      {"header of 2^64 - 1 bytes", length(UINT64_MAX).raw("{}").text(), "at most 100000000",
       nullptr},
      {"header longer than the file", length(99'999'999).raw("{}").text(),
       "header ends at byte 100000007, file has 10; incomplete download?",
       "ends inside the header (2 of 99999999 bytes); was the program before it"},
      {"header of no bytes", length(0).raw(kEight).text(), "does not begin with '{'", nullptr},
      {"header begins with a space", file(" {}", ""), "does not begin with '{'", nullptr},
      {"header is an array", file("[]", ""), "does not begin with '{'", nullptr},
      {"not JSON", file("{\"x\"}"), "header: not valid JSON: syntax error", nullptr},
      {"not UTF-8", file("{\"\xff\":1}"), "ill-formed UTF-8", nullptr},
      {"padded with NUL", file("{}" + std::string(6, '\0'), ""), "NUL at byte 2", nullptr},
      {"text behind the object", file("{} {}", ""), "not valid JSON", nullptr},
      {"nested deep", file(R"({"x":{"dtype":[[[[[]]]]]}})"), "nested deeper than 4", nullptr},
      {"duplicate tensor", file("{\"x\":{" + kGood + "},\"x\":{" + kGood + "}}"),
       "duplicate key 'x'", nullptr},
      {"duplicate field", file(one(kGood + ",\"dtype\":\"F32\"")), "duplicate key 'dtype'",
       nullptr},
      {"duplicate metadata", file(R"({"__metadata__":{"a":"1","a":"2"}})", ""), "duplicate key 'a'",
       nullptr},
      {"metadata no object", file(R"({"__metadata__":[]})", ""), "'__metadata__' is not an object",
       nullptr},
      {"metadata value no string", file(R"({"__metadata__":{"n":1}})", ""),
       "'__metadata__' entry 'n' is not a string", nullptr},
      {"tensor no object", file(R"({"x":3})"), "tensor 'x': its entry is not an object", nullptr},
      {"unknown field", file(one(kGood + ",\"strides\":[1]")),
       "tensor 'x': unknown field 'strides'", nullptr},
      {"no dtype", file(one(R"("shape":[2],"data_offsets":[0,8])")), "'dtype' is missing", nullptr},
      {"no shape", file(one(R"("dtype":"F32","data_offsets":[0,8])")), "'shape' is missing",
       nullptr},
      {"no offsets", file(one(R"("dtype":"F32","shape":[2])")), "'data_offsets' is missing",
       nullptr},
      {"dtype no string", file(one(R"("dtype":1,"shape":[2],"data_offsets":[0,8])")),
       "'dtype' is not a string", nullptr},
      {"unknown dtype", file(one(R"("dtype":"Q9","shape":[2],"data_offsets":[0,8])")),
       "tensor 'x' has dtype 'Q9', which hone does not read", nullptr},
      {"dtype of others", file(one(R"("dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3])"), "123"),
       "has dtype 'F6_E2M3', which hone does not read", nullptr},
      {"shape no array", file(one(R"("dtype":"F32","shape":2,"data_offsets":[0,8])")),
       "'shape' is not an array", nullptr},
      {"negative dimension", file(one(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])")),
       "'shape' holds something else than counts", nullptr},
      {"fractional dimension", file(one(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])")),
       "'shape' holds something else than counts", nullptr},
      {"dimension of 2^63",
       file(one(R"("dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8])")),
       "'shape' holds something else than counts", nullptr},
      {"shape overflows",
       file(one(R"("dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,8])")),
       "overflows 64 bits", nullptr},
      {"shape overflows to the right size",
       file(one(R"("dtype":"U8","shape":[4294967297,4294967297,8],"data_offsets":[0,8])")),
       "overflows 64 bits", nullptr},
      {"bytes overflow",
       file(one(R"("dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,8])")),
       "overflows 64 bits", nullptr},
      {"one offset", file(one(R"("dtype":"F32","shape":[2],"data_offsets":[0])")),
       "'data_offsets' is not [begin, end]", nullptr},
      {"three offsets", file(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,8])")),
       "'data_offsets' is not [begin, end]", nullptr},
      {"negative offset", file(one(R"("dtype":"F32","shape":[2],"data_offsets":[-8,0])")),
       "'data_offsets' is not [begin, end]", nullptr},
      {"end before begin", file(one(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])")),
       "ends at byte 0, before it begins at 8", nullptr},
      {"end beyond any file",
       file(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615])")),
       "farther than any file", nullptr},
      {"span too short", file(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"), "1234"),
       "tensor 'x': F32 [2] takes 8 bytes, 'data_offsets' span 4", nullptr},
      {"span too long", file(one(R"("dtype":"F32","shape":[1],"data_offsets":[0,8])")),
       "takes 4 bytes, 'data_offsets' span 8", nullptr},
      {"first does not begin at 0", two("[4,8]", "[8,12]", "123456789012"),
       "tensor 'a' begins at data byte 4, leaving a hole behind byte 0", nullptr},
      {"hole", two("[0,4]", "[8,12]", "123456789012"),
       "tensor 'b' begins at data byte 8, leaving a hole behind byte 4", nullptr},
      {"overlap", two("[0,4]", "[2,6]", "123456"),
       "tensor 'b' begins at data byte 2, inside the tensor before it, which ends at 4", nullptr},
      {"the same bytes twice", two("[0,4]", "[0,4]", "1234"), "inside the tensor before it",
       nullptr},
      {"data cut", file(one(kGood), "123"),
       "tensor 'x' ends at byte 70, file has 65; incomplete download?",
       "(stdin): ends inside tensor 'x' (3 of 8 bytes); was the program before it in the pipe "
       "stopped?"},
      {"data missing", file(one(kGood), ""), "tensor 'x' ends at byte 70, file has 62",
       "ends inside tensor 'x' (0 of 8 bytes)"},
      {"bytes behind the last tensor", file(one(kGood), kEight + "!"),
       "has 1 bytes behind the last tensor", "has bytes behind the last tensor"},
      {"bytes where no tensor is", file("{}", "!"), "has 1 bytes behind the last tensor",
       "has bytes behind the last tensor"},
      {"reserved name", file(R"({"hone.x":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})"),
       "tensor 'hone.x': names that begin with 'hone.' are reserved", nullptr},
      {"name that would drive a terminal",
       file("{\"\\u001b[2J\":{\"dtype\":\"Q9\",\"shape\":[8],\"data_offsets\":[0,8]}}"),
       "tensor '\\x1b[2J' has dtype", nullptr},
  };
}

void read_whole(const std::string& where) {
  const auto reader = open_safetensors(where);
  read_all(*reader);
}

}  // namespace

TEST_CASE("each broken rule is refused by its message") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("model.safetensors");
  for (const Rule& rule : broken_rules()) {
    CAPTURE(std::string(rule.name));
    write_file(path, rule.bytes);
    check_error([&] { read_whole(path); }, ExitCode::kBadInput, rule.message);
    {
      const Stdin redirected(Stdin::Kind::kFile, rule.bytes);
      check_error([&] { read_whole("-"); }, ExitCode::kBadInput, rule.message);
    }
    const Stdin piped(Stdin::Kind::kPipe, rule.bytes);
    check_error([&] { read_whole("-"); }, ExitCode::kBadInput,
                rule.pipe_message ? rule.pipe_message : rule.message);
  }
}

TEST_CASE("what the format allows is read") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("model.safetensors");
  // Names in another order than offsets, no alignment, a scalar, empty tensors, spaces behind the
  // object, a name that is a path, metadata.
  const std::string json = R"({"__metadata__":{"format":"pt","note":"free text"},)"
                           R"("z":{"dtype":"I16","shape":[],"data_offsets":[9,11]},)"
                           R"("e":{"dtype":"F32","shape":[0,7],"data_offsets":[1,1]},)"
                           R"("a/b\u00e9":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]},)"
                           R"("m":{"dtype":"F32","shape":[2,1],"data_offsets":[1,9]},)"
                           R"("last":{"dtype":"BOOL","shape":[0],"data_offsets":[11,11]}}   )";
  write_file(path, safetensors_bytes(json, "abcdefghijk"));
  const auto reader = open_safetensors(path);
  const WholeModel model = read_all(*reader, 3);
  REQUIRE(model.header.tensors.size() == 5);
  CHECK(model.header.tensors[0] == TensorInfo{"a/b\xc3\xa9", DType::kF8E4M3, {1}});
  CHECK(model.header.tensors[1] == TensorInfo{"e", DType::kF32, {0, 7}});
  CHECK(model.header.tensors[2] == TensorInfo{"m", DType::kF32, {2, 1}});
  CHECK(model.header.tensors[3] == TensorInfo{"z", DType::kI16, {}});
  CHECK(model.header.tensors[4] == TensorInfo{"last", DType::kBool, {0}});
  CHECK(model.tensors == std::vector<std::string>{"a", "", "bcdefghi", "jk", ""});
  CHECK(model.header.aliases.empty());
  CHECK(model.header.total_bytes() == 11);
  CHECK(model.trailer.is_null());
}

TEST_CASE("the reference writer's example file") {
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"I32","shape":[],"data_offsets":[8,12]}}   )";
  CHECK(header.size() == 0x90);
  const Stdin piped(Stdin::Kind::kPipe,
                    safetensors_bytes(header, from_hex("803f 00c0 0000 003f ffff ffff")));
  const auto reader = open_safetensors("-");
  CHECK_FALSE(reader->random_access());
  CHECK(reader->subject() == "(stdin)");
  const WholeModel model = read_all(*reader);
  CHECK(model.tensors[0] == from_hex("803f 00c0 0000 003f"));
  CHECK(model.tensors[1] == from_hex("ffffffff"));
}

TEST_CASE("no tensors at all") {
  const Stdin piped(Stdin::Kind::kPipe, safetensors_bytes("{}", ""));
  const auto reader = open_safetensors("-");
  CHECK_FALSE(reader->next());
  CHECK_FALSE(reader->next());
}

TEST_CASE("tied weights: a name in the metadata that stands for a stored tensor") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("model.safetensors");
  write_file(path, safetensors_bytes(R"({"__metadata__":{"format":"pt","embed":"head","x":"head",)"
                                     R"("gone":"none","hone.producer":"one\ntwo 2"},)"
                                     R"("head":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                                     R"("pt":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
                                     R"("x":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                                     "ab"));
  const auto reader = open_safetensors(path);
  CHECK(reader->header().aliases == std::map<std::string, std::string>{{"embed", "head"}});
  CHECK(reader->header().history == std::vector<std::string>{"one", "two 2"});
}

TEST_CASE("a mapped file is read in any order; skipping costs nothing") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("model.safetensors");
  write_file(path, safetensors_bytes(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                                     R"("b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
                                     "abcdefgh"));
  const auto check = [](CheckpointReader& reader) {
    REQUIRE(reader.random_access());
    std::string two(2, ' ');
    reader.read_at(1, 1, std::as_writable_bytes(std::span(two)));
    CHECK(two == "fg");
    CHECK(std::string(reinterpret_cast<const char*>(reader.mapped(0)), 4) == "abcd");
    REQUIRE(reader.next());
    reader.read(std::as_writable_bytes(std::span(two)));
    CHECK(two == "ab");
    REQUIRE(reader.next());  // the rest of the first is passed over
    CHECK(reader.current().name == "b");
    reader.read(std::as_writable_bytes(std::span(two)));
    CHECK(two == "ef");
    CHECK_FALSE(reader.next());
  };
  check(*open_safetensors(path));
  const Stdin redirected(Stdin::Kind::kFile, read_file(path));
  check(*open_safetensors("-"));
}

TEST_CASE("errors of the file system are resource errors") {
  const TemporaryDirectory directory;
  check_error([&] { open_safetensors(directory.path("none")); }, ExitCode::kResource,
              "none: cannot open: No such file");
  check_error([&] { open_safetensors(directory.path()); }, ExitCode::kBadInput, "is a directory");
}
