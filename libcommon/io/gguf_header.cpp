#include "libcommon/io/gguf_header.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "kernels/check.h"
#include "libcommon/base/checked.h"
#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"

namespace hone::gguf {
namespace {

// Reads fields and knows how many bytes there can still be.
class FieldReader {
 public:
  explicit FieldReader(ByteSource& source) : source_(source), subject_(source.subject()) {}

  template <class T>
  T value() {
    T result;
    if (source_.read(std::as_writable_bytes(std::span(&result, 1))) < sizeof(T)) fail_early();
    return result;
  }

  std::string string(const std::string& what) {
    const auto length = value<uint64_t>();
    if (length > kLongestString) {
      fail(what + " is a string of " + std::to_string(length) + " bytes, at most 2^30 are allowed");
    }
    require(length, 1, what);
    std::string text = read_growing(source_, length);
    if (text.size() < length) fail_early();
    return text;
  }

  // `count` things of at least `least` bytes each must fit into what is left.
  void require(uint64_t count, uint64_t least, const std::string& what) {
    const uint64_t end = source_.size() ? *source_.size() : kLargestHeader;
    const uint64_t left = end - std::min(end, source_.position());
    if (count > left / least) {
      fail(what + ": " + std::to_string(count) + " announced, at most " +
           std::to_string(left / least) + " fit into the rest of the " +
           (source_.size() ? "file" : "largest header that is read"));
    }
  }

  [[noreturn]] void fail(const std::string& what) const { throw Error(subject_ + ": " + what); }

 private:
  [[noreturn]] void fail_early() const {
    fail("ends inside the header, at byte " + std::to_string(source_.position()) + "; " +
         source_.cause_of_early_end());
  }

  ByteSource& source_;
  const std::string& subject_;
};

// ---- Keys

template <class T, class Stored>
void read_elements(FieldReader& in, uint64_t count, std::vector<Stored>& out) {
  for (uint64_t i = 0; i < count; ++i) out.push_back(static_cast<Stored>(in.value<T>()));
}

void read_uint64_elements(FieldReader& in, uint64_t count, const std::string& what,
                          std::vector<int64_t>& out) {
  for (uint64_t i = 0; i < count; ++i) {
    const auto element = in.value<uint64_t>();
    if (element > INT64_MAX) in.fail(what + " holds " + std::to_string(element) + ", above 2^63");
    out.push_back(static_cast<int64_t>(element));
  }
}

bool read_bool(FieldReader& in, const std::string& what) {
  const auto byte = in.value<uint8_t>();
  if (byte > 1) in.fail(what + " holds " + std::to_string(byte) + " for a bool");
  return byte == 1;
}

std::shared_ptr<GgufArray> read_array(FieldReader& in, const std::string& what) {
  auto array = std::make_shared<GgufArray>();
  array->element_type = in.value<int32_t>();
  const auto count = in.value<uint64_t>();
  if (array->element_type == kArray) in.fail(what + " is an array of arrays");
  if (array->element_type < 0 || array->element_type > kFloat64) {
    in.fail(what + " is an array of unknown " + value_type_name(array->element_type));
  }
  if (count > kMostElements) {
    in.fail(what + " has " + std::to_string(count) + " elements, at most 2^30 are allowed");
  }
  in.require(count, least_bytes(array->element_type), "elements of " + what);
  switch (array->element_type) {
    case kUint8:
      read_elements<uint8_t>(in, count, array->integers);
      break;
    case kInt8:
      read_elements<int8_t>(in, count, array->integers);
      break;
    case kUint16:
      read_elements<uint16_t>(in, count, array->integers);
      break;
    case kInt16:
      read_elements<int16_t>(in, count, array->integers);
      break;
    case kUint32:
      read_elements<uint32_t>(in, count, array->integers);
      break;
    case kInt32:
      read_elements<int32_t>(in, count, array->integers);
      break;
    case kInt64:
      read_elements<int64_t>(in, count, array->integers);
      break;
    case kFloat32:
      read_elements<float>(in, count, array->floats);
      break;
    case kFloat64:
      read_elements<double>(in, count, array->floats);
      break;
    case kUint64:
      read_uint64_elements(in, count, what, array->integers);
      break;
    case kBool:
      for (uint64_t i = 0; i < count; ++i) array->integers.push_back(read_bool(in, what));
      break;
    case kString:
      for (uint64_t i = 0; i < count; ++i) array->strings.push_back(in.string(what));
      break;
  }
  return array;
}

GgufValue read_value(FieldReader& in, const std::string& what) {
  const auto type = in.value<int32_t>();
  switch (type) {
    case kUint8:
      return in.value<uint8_t>();
    case kInt8:
      return in.value<int8_t>();
    case kUint16:
      return in.value<uint16_t>();
    case kInt16:
      return in.value<int16_t>();
    case kUint32:
      return in.value<uint32_t>();
    case kInt32:
      return in.value<int32_t>();
    case kFloat32:
      return in.value<float>();
    case kBool:
      return read_bool(in, what);
    case kString:
      return in.string(what);
    case kArray:
      return read_array(in, what);
    case kUint64:
      return in.value<uint64_t>();
    case kInt64:
      return in.value<int64_t>();
    case kFloat64:
      return in.value<double>();
    default:
      in.fail(what + " is of unknown " + value_type_name(type));
  }
}

void read_keys(FieldReader& in, uint64_t count, GgufKeys& keys) {
  std::unordered_set<std::string> seen;
  for (uint64_t i = 0; i < count; ++i) {
    std::string name = in.string("name of key " + std::to_string(i));
    if (name.empty()) in.fail("key " + std::to_string(i) + " has an empty name");
    if (!is_utf8(name)) in.fail("key " + quote_name(name) + " is not valid UTF-8");
    if (!seen.insert(name).second) in.fail("duplicate key " + quote_name(name));
    GgufValue value = read_value(in, "key " + quote_name(name));
    keys.entries.emplace_back(std::move(name), std::move(value));
  }
}

// ---- Tensor headers

TensorInfo read_tensor(FieldReader& in, uint64_t index, const std::string& subject) {
  TensorInfo tensor;
  tensor.name = in.string("name of tensor " + std::to_string(index));
  const std::string what = "tensor " + quote_name(tensor.name);
  if (tensor.name.size() > kLongestName) in.fail(what + ": name longer than 63 bytes");
  if (!is_utf8(tensor.name)) in.fail(what + ": name is not valid UTF-8");
  const auto dimensions = in.value<uint32_t>();
  if (dimensions > kMostDimensions) {
    in.fail(what + " has " + std::to_string(dimensions) + " dimensions, at most 4 are allowed");
  }
  for (uint32_t i = 0; i < dimensions; ++i) {
    tensor.shape.insert(tensor.shape.begin(), in.value<int64_t>());
  }
  const auto type = in.value<int32_t>();
  const std::optional<DType> known = dtype_from_ggml(type);
  if (!known) in.fail(what + " has type " + type_name(type) + ", which hone does not decode");
  tensor.type = *known;
  validate_tensor(tensor, subject);
  return tensor;
}

constexpr uint64_t kLargestData = uint64_t{1} << 62;

void read_tensors(FieldReader& in, uint64_t count, Header& header, const std::string& subject) {
  std::unordered_set<std::string> seen;
  uint64_t expected = 0;  // offset
  for (uint64_t i = 0; i < count; ++i) {
    TensorInfo tensor = read_tensor(in, i, subject);
    const std::string what = "tensor " + quote_name(tensor.name);
    if (!seen.insert(tensor.name).second)
      in.fail("two tensors are named " + quote_name(tensor.name));
    const auto offset = in.value<uint64_t>();
    if (offset != expected) {
      in.fail(what + " has offset " + std::to_string(offset) + ", the tensors before it end at " +
              std::to_string(expected));
    }
    const auto end = checked_add(offset, static_cast<uint64_t>(tensor.bytes()));
    if (!end || *end > kLargestData) in.fail("sizes of the tensors overflow at " + what);
    expected = align_up(*end, header.alignment);
    header.offsets.push_back(offset);
    header.tensors.push_back(std::move(tensor));
  }
}

// ---- The file around them

void read_magic(FieldReader& in) {
  char magic[4];
  for (char& c : magic) c = in.value<char>();
  if (std::memcmp(magic, "GGUF", 4) != 0) {
    in.fail("not a GGUF file, it begins with " + quote_name({magic, 4}));
  }
  const auto version = in.value<uint32_t>();
  if (version == kVersion) return;
  if (version != 0 && (version & 0xffff) == 0) {
    in.fail("is a big-endian GGUF file; hone reads little-endian ones");
  }
  in.fail("is of GGUF version " + std::to_string(version) + ", hone reads version 3" +
          (version == 1 || version == 2 ? "; convert it again from the original model" : ""));
}

void check_not_split(const GgufKeys& keys, const std::string& subject) {
  if (!keys.find("split.count")) return;
  const int64_t count = keys.integer("split.count", subject);
  if (count > 1) {
    throw Error(subject + ": is one of " + std::to_string(count) +
                " parts of a split model; join them with llama-gguf-split --merge");
  }
}

void check_file_size(const Header& header, const ByteSource& source) {
  if (!source.size()) return;
  for (size_t i = 0; i < header.tensors.size(); ++i) {
    const auto bytes = static_cast<uint64_t>(header.tensors[i].bytes());
    const uint64_t end = header.data_start + header.offsets[i] + bytes;
    if (end <= *source.size() || bytes == 0) continue;
    throw Error(source.subject() + ": tensor " + quote_name(header.tensors[i].name) +
                " ends at byte " + std::to_string(end) + ", file has " +
                std::to_string(*source.size()) + "; " + source.cause_of_early_end());
  }
  const uint64_t end = header.data_start + align_up(header.data_bytes(), header.alignment);
  if (*source.size() > end) {
    throw Error(source.subject() + ": has " + std::to_string(*source.size() - end) +
                " bytes behind the last tensor; two files joined?");
  }
}

}  // namespace

uint64_t Header::data_bytes() const {
  return tensors.empty() ? 0 : offsets.back() + static_cast<uint64_t>(tensors.back().bytes());
}

uint64_t alignment_of(const GgufKeys& keys, const std::string& subject) {
  const GgufValue* value = keys.find(kAlignmentKey);
  if (!value) return kDefaultAlignment;
  const auto* alignment = std::get_if<uint32_t>(value);
  if (!alignment) throw Error(subject + ": key 'general.alignment' is not of type u32");
  const std::string fault = alignment_fault(*alignment);
  if (!fault.empty()) throw Error(subject + ": key 'general.alignment' is " + fault);
  return *alignment;
}

Header read_header(ByteSource& source) {
  constexpr uint64_t kLeastKey = 8 + 1 + 4 + 1, kLeastTensor = 8 + 4 + 4 + 8;
  FieldReader in(source);
  read_magic(in);
  const auto tensors = in.value<uint64_t>();  // i64, but a negative one does not fit either
  const auto keys = in.value<uint64_t>();
  in.require(tensors, kLeastTensor, "tensors");
  in.require(keys, kLeastKey, "keys");
  Header header;
  read_keys(in, keys, header.keys);
  header.alignment = alignment_of(header.keys, source.subject());
  check_not_split(header.keys, source.subject());
  read_tensors(in, tensors, header, source.subject());
  header.data_start = align_up(source.position(), header.alignment);
  check_file_size(header, source);
  return header;
}

}  // namespace hone::gguf
