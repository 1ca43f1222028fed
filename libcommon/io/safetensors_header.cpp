#include "libcommon/io/safetensors_header.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/check.h"
#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"
#include "libcommon/io/json.h"

namespace hone {

static_assert(std::endian::native == std::endian::little, "files are read as they lie in memory");

namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kDataAlignment = 64;                // a cache line, and any vector register
constexpr uint64_t kFarthestByte = uint64_t{1} << 62;  // sums with the header's size stay exact
constexpr JsonLimits kHeaderLimits = {.bytes = kMaxHeaderBytes, .depth = 4};

std::string tensor_text(const std::string& subject, std::string_view name) {
  return subject + ": tensor " + quote_name(name);
}

// ---- JSON to tensors

DType parse_dtype(const Json& value, const std::string& start) {
  if (!value.is_string()) throw Error(start + ": 'dtype' is not a string");
  const auto& text = value.get_ref<const std::string&>();
  const std::optional<DType> type = dtype_from_safetensors(text);
  if (!type) throw Error(start + " has dtype " + quote_name(text) + ", which hone does not read");
  return *type;
}

std::vector<int64_t> parse_shape(const Json& value, const std::string& start) {
  if (!value.is_array()) throw Error(start + ": 'shape' is not an array");
  std::vector<int64_t> shape;
  for (const Json& dimension : value) {
    if (!dimension.is_number_unsigned() || dimension.get<uint64_t>() > INT64_MAX) {
      throw Error(start + ": 'shape' holds something else than counts");
    }
    shape.push_back(dimension.get<int64_t>());
  }
  return shape;
}

void parse_offsets(const Json& value, StoredTensor& tensor, const std::string& start) {
  if (!value.is_array() || value.size() != 2 || !value[0].is_number_unsigned() ||
      !value[1].is_number_unsigned()) {
    throw Error(start + ": 'data_offsets' is not [begin, end]");
  }
  tensor.begin = value[0].get<uint64_t>();
  tensor.end = value[1].get<uint64_t>();
  if (tensor.end < tensor.begin) {
    throw Error(start + " ends at byte " + std::to_string(tensor.end) + ", before it begins at " +
                std::to_string(tensor.begin));
  }
  if (tensor.end > kFarthestByte) {
    throw Error(start + " ends at byte " + std::to_string(tensor.end) + ", farther than any file");
  }
}

StoredTensor parse_tensor(const std::string& name, const Json& entry, const std::string& subject) {
  const std::string start = tensor_text(subject, name);
  if (!entry.is_object()) throw Error(start + ": its entry is not an object");
  for (const auto& [key, value] : entry.items()) {
    if (key != "dtype" && key != "shape" && key != "data_offsets") {
      throw Error(start + ": unknown field " + quote_name(key));
    }
  }
  for (const char* key : {"dtype", "shape", "data_offsets"}) {
    if (!entry.contains(key)) throw Error(start + ": '" + key + "' is missing");
  }
  StoredTensor tensor;
  tensor.info = {name, parse_dtype(entry["dtype"], start), parse_shape(entry["shape"], start)};
  parse_offsets(entry["data_offsets"], tensor, start);
  validate_tensor(tensor.info, subject);
  const auto bytes = static_cast<uint64_t>(tensor.info.bytes());
  if (bytes != tensor.end - tensor.begin) {
    throw Error(start + ": " + std::string(hone::name(tensor.info.type)) + " " +
                shape_text(tensor.info.shape) + " takes " + std::to_string(bytes) +
                " bytes, 'data_offsets' span " + std::to_string(tensor.end - tensor.begin));
  }
  return tensor;
}

void parse_metadata(const Json& entry, SafetensorsHeader& header, const std::string& subject) {
  if (!entry.is_object()) throw Error(subject + ": '__metadata__' is not an object");
  for (const auto& [key, value] : entry.items()) {
    if (!value.is_string()) {
      throw Error(subject + ": '__metadata__' entry " + quote_name(key) + " is not a string");
    }
    header.metadata.emplace_back(key, value.get_ref<const std::string&>());
  }
}

void check_contiguous(const SafetensorsHeader& header, const std::string& subject) {
  uint64_t end = 0;
  for (const StoredTensor& tensor : header.tensors) {
    if (tensor.begin != end) {
      throw Error(tensor_text(subject, tensor.info.name) + " begins at data byte " +
                  std::to_string(tensor.begin) +
                  (tensor.begin < end ? ", inside the tensor before it, which ends at "
                                      : ", leaving a hole behind byte ") +
                  std::to_string(end));
    }
    end = tensor.end;
  }
}

// ---- The file around it

uint64_t read_length(ByteSource& source) {
  uint64_t length = 0;
  const size_t got = source.read(std::as_writable_bytes(std::span(&length, 1)));
  if (got == 0) throw Error(source.subject() + ": is empty; " + source.cause_of_early_end());
  if (got < kLengthBytes) {
    throw Error(source.subject() + ": has " + std::to_string(got) +
                " bytes, too few for a safetensors file; " + source.cause_of_early_end());
  }
  if (length > kMaxHeaderBytes) {
    throw Error(source.subject() + ": declares a header of " + std::to_string(length) +
                " bytes, at most " + std::to_string(kMaxHeaderBytes) +
                " are allowed; not a safetensors file?");
  }
  return length;
}

std::string read_json(ByteSource& source) {
  const uint64_t length = read_length(source);
  if (source.size() && *source.size() - source.position() < length) {
    throw Error(source.subject() + ": header ends at byte " +
                std::to_string(kLengthBytes + length) + ", file has " +
                std::to_string(*source.size()) + "; " + source.cause_of_early_end());
  }
  std::string json = read_growing(source, length);
  if (json.size() < length) {
    throw Error(source.subject() + ": ends inside the header (" + std::to_string(json.size()) +
                " of " + std::to_string(length) + " bytes); " + source.cause_of_early_end());
  }
  if (json.empty() || json[0] != '{') {
    throw Error(source.subject() + ": header does not begin with '{'; not a safetensors file?");
  }
  return json;
}

void check_file_size(const SafetensorsHeader& header, const ByteSource& source) {
  if (!source.size()) return;
  const uint64_t available = *source.size() - header.data_start;
  for (const StoredTensor& tensor : header.tensors) {
    if (tensor.end > available) {
      throw Error(tensor_text(source.subject(), tensor.info.name) + " ends at byte " +
                  std::to_string(header.data_start + tensor.end) + ", file has " +
                  std::to_string(*source.size()) + "; " + source.cause_of_early_end());
    }
  }
  if (header.data_bytes() < available) {
    throw Error(source.subject() + ": has " + std::to_string(available - header.data_bytes()) +
                " bytes behind the last tensor; two files joined?");
  }
}

// ---- Tensors to JSON

std::string json_string(const std::string& text, const std::string& subject) {
  if (!is_utf8(text)) throw Error(subject + ": " + quote_name(text) + " is not valid UTF-8");
  return Json(text).dump();
}

void append_entry(std::string& json, const StoredTensor& tensor, const std::string& subject) {
  CHECK(!is_block(tensor.info.type));
  if (json.size() > 1) json += ',';
  json += json_string(tensor.info.name, subject) + R"(:{"dtype":")";
  json += info(tensor.info.type).safetensors;
  json += R"(","shape":)" + Json(tensor.info.shape).dump();
  json += R"(,"data_offsets":[)" + std::to_string(tensor.begin) + "," + std::to_string(tensor.end) +
          "]}";
}

}  // namespace

const std::string* SafetensorsHeader::find_metadata(std::string_view key) const {
  for (const auto& [name, value] : metadata) {
    if (name == key) return &value;
  }
  return nullptr;
}

SafetensorsHeader parse_safetensors_header(std::string_view json, const std::string& subject) {
  const Json document = parse_json(json, subject + ": header", kHeaderLimits);
  if (!document.is_object()) throw Error(subject + ": header is not a JSON object");
  SafetensorsHeader header;
  for (const auto& [name, entry] : document.items()) {
    if (name == "__metadata__") {
      parse_metadata(entry, header, subject);
    } else {
      header.tensors.push_back(parse_tensor(name, entry, subject));
    }
  }
  // Files may list their tensors in any order. An empty tensor stands before the one it shares its
  // offset with.
  std::stable_sort(header.tensors.begin(), header.tensors.end(),
                   [](const StoredTensor& a, const StoredTensor& b) {
                     return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
                   });
  check_contiguous(header, subject);
  return header;
}

SafetensorsHeader read_safetensors_header(ByteSource& source) {
  SafetensorsHeader header = parse_safetensors_header(read_json(source), source.subject());
  header.data_start = source.position();
  check_file_size(header, source);
  return header;
}

std::string format_safetensors_header(const SafetensorsHeader& header, const std::string& subject) {
  std::string json = "{";
  if (!header.metadata.empty()) {
    json += R"("__metadata__":{)";
    for (const auto& [key, value] : header.metadata) {
      if (json.back() != '{') json += ',';
      json += json_string(key, subject) + ":" + json_string(value, subject);
    }
    json += '}';
  }
  for (const StoredTensor& tensor : header.tensors) append_entry(json, tensor, subject);
  json += '}';
  while ((kLengthBytes + json.size()) % kDataAlignment != 0) json += ' ';
  if (json.size() > kMaxHeaderBytes) {
    throw Error(subject + ": the header would take " + std::to_string(json.size()) +
                " bytes, safetensors allows " + std::to_string(kMaxHeaderBytes));
  }
  const uint64_t length = json.size();
  std::string text(reinterpret_cast<const char*>(&length), kLengthBytes);
  return text + json;
}

void append_tensor(SafetensorsHeader& header, TensorInfo tensor) {
  const uint64_t begin = header.data_bytes();
  const uint64_t end = begin + static_cast<uint64_t>(tensor.bytes());
  header.tensors.push_back({std::move(tensor), begin, end});
}

}  // namespace hone
