// Writes GGUF v3 as llama.cpp's own writer does, byte for byte.
#include <unordered_set>

#include "kernels/check.h"
#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"
#include "libcommon/io/byte_sink.h"
#include "libcommon/io/gguf_header.h"
#include "libcommon/io/tensor_splitter.h"

namespace hone {
namespace gguf {
namespace {

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put(std::string& out, const std::string& text) {
  put<uint64_t>(out, text.size());
  out += text;
}

template <class T, class Stored>
void put_elements(std::string& out, const std::vector<Stored>& elements) {
  for (const Stored element : elements) put(out, static_cast<T>(element));
}

void put_array(std::string& out, const GgufArray& array) {
  const size_t count = array.strings.size() + array.floats.size() + array.integers.size();
  put<int32_t>(out, array.element_type);
  put<uint64_t>(out, count);
  switch (array.element_type) {
    case kUint8:
    case kBool:
      put_elements<uint8_t>(out, array.integers);
      break;
    case kInt8:
      put_elements<int8_t>(out, array.integers);
      break;
    case kUint16:
      put_elements<uint16_t>(out, array.integers);
      break;
    case kInt16:
      put_elements<int16_t>(out, array.integers);
      break;
    case kUint32:
      put_elements<uint32_t>(out, array.integers);
      break;
    case kInt32:
      put_elements<int32_t>(out, array.integers);
      break;
    case kUint64:
    case kInt64:
      put_elements<int64_t>(out, array.integers);
      break;
    case kFloat32:
      put_elements<float>(out, array.floats);
      break;
    case kFloat64:
      put_elements<double>(out, array.floats);
      break;
    case kString:
      for (const std::string& text : array.strings) put(out, text);
      break;
    default:
      CHECK(!"array of arrays");
  }
}

// The id of each alternative of GgufValue.
template <class T>
constexpr int32_t kTypeId = -1;
template <>
constexpr int32_t kTypeId<uint8_t> = kUint8;
template <>
constexpr int32_t kTypeId<int8_t> = kInt8;
template <>
constexpr int32_t kTypeId<uint16_t> = kUint16;
template <>
constexpr int32_t kTypeId<int16_t> = kInt16;
template <>
constexpr int32_t kTypeId<uint32_t> = kUint32;
template <>
constexpr int32_t kTypeId<int32_t> = kInt32;
template <>
constexpr int32_t kTypeId<float> = kFloat32;
template <>
constexpr int32_t kTypeId<bool> = kBool;
template <>
constexpr int32_t kTypeId<std::string> = kString;
template <>
constexpr int32_t kTypeId<uint64_t> = kUint64;
template <>
constexpr int32_t kTypeId<int64_t> = kInt64;
template <>
constexpr int32_t kTypeId<double> = kFloat64;
template <>
constexpr int32_t kTypeId<std::shared_ptr<GgufArray>> = kArray;

void put_value(std::string& out, const GgufValue& value) {
  std::visit(
      [&](const auto& held) {
        using T = std::decay_t<decltype(held)>;
        put<int32_t>(out, kTypeId<T>);
        if constexpr (kTypeId<T> == kArray) {
          put_array(out, *held);
        } else {
          put(out, held);
        }
      },
      value);
}

void put_tensor(std::string& out, const TensorInfo& tensor, uint64_t offset) {
  put(out, tensor.name);
  put<uint32_t>(out, static_cast<uint32_t>(tensor.shape.size()));
  for (size_t i = tensor.shape.size(); i-- > 0;) put<int64_t>(out, tensor.shape[i]);
  put<int32_t>(out, info(tensor.type).ggml_id);
  put<uint64_t>(out, offset);
}

// What llama.cpp would refuse to load is not written.
void check_writable(const TensorInfo& tensor, const std::string& subject) {
  validate_tensor(tensor, subject);
  const std::string start = subject + ": tensor " + quote_name(tensor.name);
  if (info(tensor.type).ggml_id < 0) {
    throw usage_error(start + " has type " + std::string(name(tensor.type)) +
                      ", which GGUF cannot hold");
  }
  if (tensor.shape.size() > kMostDimensions) {
    throw usage_error(start + " has " + std::to_string(tensor.shape.size()) +
                      " dimensions, GGUF allows 4");
  }
  if (tensor.name.size() > kLongestName) {
    throw usage_error(start + ": name longer than the 63 bytes that GGUF allows");
  }
}

void check_unique(const GgufKeys& keys, const std::vector<TensorInfo>& tensors) {
  std::unordered_set<std::string_view> names;
  for (const auto& [key, value] : keys.entries) CHECK(!key.empty() && names.insert(key).second);
  names.clear();
  for (const TensorInfo& tensor : tensors) CHECK(names.insert(tensor.name).second);
}

}  // namespace

std::string format_header(const GgufKeys& keys, const std::vector<TensorInfo>& tensors,
                          const std::string& subject) {
  check_unique(keys, tensors);
  const uint64_t alignment = alignment_of(keys, subject);
  std::string out = "GGUF";
  put<uint32_t>(out, kVersion);
  put<uint64_t>(out, tensors.size());
  put<uint64_t>(out, keys.entries.size());
  for (const auto& [key, value] : keys.entries) {
    put(out, key);
    put_value(out, value);
  }
  uint64_t offset = 0;
  for (const TensorInfo& tensor : tensors) {
    check_writable(tensor, subject);
    put_tensor(out, tensor, offset);
    offset = align_up(offset + static_cast<uint64_t>(tensor.bytes()), alignment);
  }
  out.resize(align_up(out.size(), alignment), '\0');
  return out;
}

}  // namespace gguf

namespace {

class GgufWriter final : public CheckpointWriter {
 public:
  GgufWriter(const std::string& where, GgufKeys keys, const SinkOptions& options)
      : sink_(where, options), keys_(std::move(keys)) {}

  // Side files, history and aliases of the header have no place here: they are keys by now.
  void begin(const CheckpointHeader& header) override {
    const std::string text = gguf::format_header(keys_, header.tensors, sink_.subject());
    alignment_ = gguf::alignment_of(keys_, sink_.subject());
    uint64_t total = text.size();  // is a multiple of the alignment
    for (const TensorInfo& tensor : header.tensors) {
      total = gguf::align_up(total + static_cast<uint64_t>(tensor.bytes()), alignment_);
    }
    sink_.reserve(total);
    sink_.write(text);
    splitter_ = TensorSplitter(header.tensors);
    write({});
    sink_.flush();
  }

  void write(std::span<const std::byte> bytes) override {
    splitter_.feed(
        bytes, [&](std::span<const std::byte> part) { sink_.write(part); },
        [&](size_t) {
          sink_.write_zeros(gguf::align_up(sink_.written(), alignment_) - sink_.written());
        });
  }

  void finish(const Json&) override {
    CHECK(splitter_.complete());
    sink_.finish();
  }

  bool is_stream() const override { return false; }

 private:
  ByteSink sink_;
  GgufKeys keys_;
  uint64_t alignment_ = gguf::kDefaultAlignment;
  TensorSplitter splitter_;
};

}  // namespace

std::unique_ptr<CheckpointWriter> create_gguf(const std::string& where, GgufKeys keys,
                                              const SinkOptions& options) {
  return std::make_unique<GgufWriter>(where, std::move(keys), options);
}

}  // namespace hone
