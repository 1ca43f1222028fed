#include "libcommon/model/random_model.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/check.h"
#include "kernels/convert.h"
#include "libcommon/base/error.h"
#include "libcommon/base/rng.h"
#include "libcommon/base/utf8.h"
#include "libcommon/io/byte_source.h"
#include "libcommon/model/model_io.h"
#include "libcommon/model/random_shapes.h"
#include "libcommon/model/spec.h"

namespace hone {
namespace {

constexpr std::string_view kScheme = "random:";
constexpr uint64_t kLargestConfig = 1 << 20;  // bytes
constexpr int64_t kChunk = 4096;              // elements made at a time: 16 kB of f32 stay in L1

// Embeddings, and what has no inputs to sum over. With 1/sqrt(inputs) elsewhere every product keeps
// the scale of its input, so activations neither die nor explode at any depth.
constexpr float kSmallDeviation = 0.02f;
constexpr float kNormDeviation = 0.05f;  // of norm weights around 1

struct RandomRequest {
  std::string shape;
  uint64_t seed = 0;
  DType type = DType::kBF16;
};

std::string shape_names() {
  std::string names;
  for (const std::string& name : random_shapes()) names += (names.empty() ? "" : ", ") + name;
  return names;
}

void apply_option(std::string_view option, const std::string& where, RandomRequest& request) {
  const size_t equal = option.find('=');
  const std::string_view key = option.substr(0, equal);
  const std::string_view value = equal == std::string_view::npos ? "" : option.substr(equal + 1);
  if (key == "seed") {
    const auto [end, error] =
        std::from_chars(value.data(), value.data() + value.size(), request.seed);
    if (error == std::errc() && end == value.data() + value.size() && !value.empty()) return;
    throw usage_error(where + ": seed must be a number from 0 to 2^64 - 1");
  }
  if (key == "dtype") {
    if (value == "bf16") request.type = DType::kBF16;
    if (value == "f16") request.type = DType::kF16;
    if (value == "f32") request.type = DType::kF32;
    if (value == "bf16" || value == "f16" || value == "f32") return;
    throw usage_error(where + ": dtype must be bf16, f16 or f32");
  }
  throw usage_error(where + ": unknown option '" + std::string(key) + "'; known: seed, dtype");
}

RandomRequest parse_request(const std::string& where) {
  std::string_view rest = std::string_view(where).substr(kScheme.size());
  RandomRequest request;
  const size_t question = rest.find('?');
  request.shape = rest.substr(0, question);
  if (question == std::string_view::npos) return request;
  rest.remove_prefix(question + 1);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('&'), rest.size());
    apply_option(rest.substr(0, end), where, request);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return request;
}

std::string config_text(const RandomRequest& request) {
  for (const RandomShape& shape : random_shape_table()) {
    if (shape.name == request.shape) return std::string(shape.config);
  }
  const bool is_path =
      request.shape.find('/') != std::string::npos || request.shape.ends_with(".json");
  if (!is_path) {
    throw usage_error("random:" + request.shape + ": no such shape; known: " + shape_names() +
                      ", or the path of a config.json");
  }
  return read_growing(*open_source(request.shape), kLargestConfig);
}

// FNV-1a: a tensor's stream of random numbers depends on its name alone.
uint64_t stream_of(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

struct Distribution {
  float mean = 0.0f;
  float deviation = kSmallDeviation;
};

Distribution distribution_of(const TensorSpec& tensor) {
  if (tensor.bias) return {};
  if (tensor.shape.size() == 1) return {1.0f, kNormDeviation};
  if (!tensor.linear) return {};
  const int64_t inputs =
      tensor.layout == StoredLayout::kInOut ? tensor.shape.front() : tensor.shape.back();
  return {0.0f, 1.0f / std::sqrt(static_cast<float>(inputs))};
}

class RandomReader : public CheckpointReader {
 public:
  RandomReader(const RandomRequest& request, Json config, std::string subject)
      : seed_(request.seed) {
    subject_ = std::move(subject);
    config.erase("quantization_config");  // what is made here is plain
    config["torch_dtype"] = request.type == DType::kF32   ? "float32"
                            : request.type == DType::kF16 ? "float16"
                                                          : "bfloat16";
    header_.files["config.json"] = config.dump(2) + "\n";
    const ModelSpec spec = spec_from_config(config, {}, subject_);
    for (const TensorSpec& tensor : spec.tensors) {
      header_.tensors.push_back({tensor.name, request.type, tensor.shape});
      validate_tensor(header_.tensors.back(), subject_);
      streams_.push_back(stream_of(tensor.name));
      distributions_.push_back(distribution_of(tensor));
    }
  }

  bool next() override {
    if (index_ < static_cast<int64_t>(header_.tensors.size())) ++index_;
    position_ = 0;
    return index_ < static_cast<int64_t>(header_.tensors.size());
  }

  void read(std::span<std::byte> out) override {
    read_at(index_, position_, out);
    position_ += static_cast<int64_t>(out.size());
  }

  bool random_access() const override { return true; }
  const std::byte* mapped(int64_t) const override { return nullptr; }

  void read_at(int64_t tensor, int64_t offset, std::span<std::byte> out) override {
    const TensorInfo& info = header_.tensors[static_cast<size_t>(tensor)];
    const auto size = static_cast<int64_t>(out.size());
    CHECK(offset >= 0 && size <= info.bytes() && offset <= info.bytes() - size);
    const int64_t width = row_bytes(info.type, 1);
    std::byte chunk[kChunk * sizeof(float)];
    for (int64_t done = 0; done < size;) {
      const int64_t first = (offset + done) / width;
      const int64_t skip = (offset + done) % width;
      const int64_t count = std::min(kChunk, (size - done + skip + width - 1) / width);
      const int64_t bytes = std::min(count * width - skip, size - done);
      const bool whole = skip == 0 && bytes == count * width;
      make(tensor, first, count, whole ? out.data() + done : chunk);
      if (!whole) std::memcpy(out.data() + done, chunk + skip, static_cast<size_t>(bytes));
      done += bytes;
    }
  }

 private:
  // Approximately normal (kernels/convert.h); nothing downstream depends on the tails.
  void make(int64_t tensor, int64_t first, int64_t count, std::byte* out) const {
    const auto index = static_cast<size_t>(tensor);
    float values[kChunk];
    random_row({.key = random_key(seed_, streams_[index]),
                .first = static_cast<uint64_t>(first),
                .mean = distributions_[index].mean,
                .deviation = distributions_[index].deviation},
               count, values);
    narrow_row(header_.tensors[index].type, values, count, out);
  }

  uint64_t seed_;
  std::vector<uint64_t> streams_;
  std::vector<Distribution> distributions_;
  int64_t position_ = 0;  // in the current tensor
};

}  // namespace

bool is_random_model(const std::string& where) { return where.starts_with(kScheme); }

std::vector<std::string> random_shapes() {
  std::vector<std::string> names;
  for (const RandomShape& shape : random_shape_table()) names.emplace_back(shape.name);
  return names;
}

std::unique_ptr<CheckpointReader> open_random_model(const std::string& where) {
  const RandomRequest request = parse_request(where);
  Json config = parse_json(config_text(request), where);
  if (!config.is_object()) throw Error(where + ": is not a JSON object");
  return std::make_unique<RandomReader>(request, std::move(config), where);
}

}  // namespace hone
