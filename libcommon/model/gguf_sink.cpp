#include "libcommon/model/gguf_sink.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>

#include "kernels/check.h"
#include "kernels/codec/codec.h"
#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"
#include "libcommon/io/gguf.h"
#include "libcommon/io/tensor_splitter.h"
#include "libcommon/model/gguf_config.h"
#include "libcommon/model/gguf_map.h"
#include "libcommon/model/gguf_rope.h"
#include "libcommon/model/names.h"
#include "libcommon/model/weights.h"

namespace hone {
namespace {

// Types a matrix may have, with general.file_type of a file mostly made of them.
struct FileTypeRow {
  DType type;
  uint32_t file_type;
};
constexpr auto kFileTypes = std::to_array<FileTypeRow>({
    {DType::kF32, 0},
    {DType::kF16, 1},
    {DType::kQ4_0, 2},
    {DType::kQ4_1, 3},
    {DType::kQ8_0, 7},
    {DType::kBF16, 32},
});

const FileTypeRow* file_type_row(DType type) {
  const auto row = std::find_if(kFileTypes.begin(), kFileTypes.end(),
                                [&](const FileTypeRow& it) { return it.type == type; });
  return row == kFileTypes.end() ? nullptr : &*row;
}

// How one incoming tensor is written.
struct OutTensor {
  bool dropped = false;
  bool as_f32 = false;
  bool repeated = false;  // written again as output.weight
  bool turn = false;
  RowMove move;
  TensorInfo from;

  bool passes() const { return !as_f32 && !repeated && !turn && move.order == RowOrder::kSame; }
};

std::string scheme_text(const StoredWeight& weight, const TensorInfo& payload) {
  const WeightView& view = weight.view;
  const bool is_float = payload.type == DType::kF8E4M3;
  const int bits = view.packed_bits ? view.packed_bits : 8;
  std::string text = (is_float ? "fp" : "int") + std::to_string(bits);
  if (view.group > 0 && view.group < view.columns) {
    text += " in groups of " + std::to_string(view.group);
  }
  const std::string scheme = bits > 4 ? "q8_0" : weight.zero_point >= 0 ? "q4_1" : "q4_0";
  return text + ", which GGUF has not; use --scheme " + scheme;
}

class GgufModelWriter : public CheckpointWriter {
 public:
  GgufModelWriter(std::string where, const SinkOptions& options)
      : where_(std::move(where)), options_(options) {}

  bool is_stream() const override { return false; }

  void begin(const CheckpointHeader& header) override {
    const ModelSpec spec = spec_from_checkpoint(header, where_);
    const Architecture& architecture = *find_architecture(spec.architecture);
    GgufKeys keys = keys_from_spec(spec, architecture, where_);
    CheckpointHeader out;
    const bool divided = spec.rope.scaling == RopeScaling::kLlama3;
    std::vector<float> divisors;
    if (divided) {
      divisors = rope_divisors(spec.rope);
      out.tensors.push_back(
          {std::string(kGgufRopeDivisors), DType::kF32, {static_cast<int64_t>(divisors.size())}});
    }
    plan(header, spec, architecture, out);
    add_type_keys(out, keys);
    add_tokenizer_keys(header.files, spec.vocab, where_, keys);
    inner_ = create_gguf(where_, std::move(keys), options_);
    inner_->begin(out);
    if (divided) inner_->write(std::as_bytes(std::span(divisors)));
    splitter_ = TensorSplitter(header.tensors);
    write({});
  }

  void write(std::span<const std::byte> bytes) override {
    splitter_.feed(
        bytes, [&](std::span<const std::byte> part) { take(part); },
        [&](size_t tensor) { end(tensor); });
  }

  void finish(const Json& statistics) override { inner_->finish(statistics); }

 private:
  void plan(const CheckpointHeader& header, const ModelSpec& spec, const Architecture& architecture,
            CheckpointHeader& out) {
    std::unordered_map<std::string, const TensorSpec*> specs;
    for (const TensorSpec& tensor : spec.tensors) specs[tensor.name] = &tensor;
    tensors_.resize(header.tensors.size());
    for (OutTensor& tensor : tensors_) tensor.dropped = true;
    for (const StoredWeight& weight : stored_weights(header, where_)) {
      const auto found = specs.find(weight.name);
      if (found != specs.end()) plan_tensor(header, weight, *found->second, spec, architecture);
    }
    for (size_t i = 0; i < tensors_.size(); ++i) {
      if (tensors_[i].dropped) continue;
      add_header(tensors_[i], *specs[header.tensors[i].name], out);
    }
  }

  void plan_tensor(const CheckpointHeader& header, const StoredWeight& weight,
                   const TensorSpec& expected, const ModelSpec& spec,
                   const Architecture& architecture) {
    const TensorInfo& info = header.tensors[static_cast<size_t>(weight.payload)];
    if (weight.scale >= 0) {
      throw Error(where_ + ": tensor " + quote_name(weight.name) + " is stored as " +
                  scheme_text(weight, info));
    }
    if (!file_type_row(info.type) && !(gguf_wants_f32(expected) && is_float(info.type))) {
      throw Error(where_ + ": tensor " + quote_name(weight.name) + " is stored as " +
                  std::string(name(info.type)) +
                  ", which is not written to GGUF; use --scheme q8_0, q4_0, q4_1, f16 or bf16");
    }
    const GgufLayout layout = gguf_layout(architecture, spec, expected, GgufDirection::kToGguf);
    OutTensor& tensor = tensors_[static_cast<size_t>(weight.payload)];
    tensor.dropped = false;
    tensor.from = info;
    tensor.as_f32 = gguf_wants_f32(expected) && info.type != DType::kF32;
    tensor.repeated =
        architecture.gguf_writes_head && spec.tied && expected.role == Role::kEmbedding;
    tensor.turn = layout.turn && !is_block(info.type);
    tensor.move = {layout.order, layout.head_dim,
                   info.shape.size() == 1 ? info.elements() : info.rows()};
  }

  static void add_header(const OutTensor& tensor, const TensorSpec& expected,
                         CheckpointHeader& out) {
    TensorInfo info = tensor.from;
    info.name = gguf_name(expected);
    if (tensor.turn) std::reverse(info.shape.begin(), info.shape.end());
    if (tensor.as_f32) info.type = DType::kF32;
    out.tensors.push_back(info);
    if (!tensor.repeated) return;
    info.name = kGgufHead;
    out.tensors.push_back(std::move(info));
  }

  static void add_type_keys(const CheckpointHeader& out, GgufKeys& keys) {
    std::array<int64_t, kFileTypes.size()> bytes{};
    bool quantized = false;
    for (const TensorInfo& tensor : out.tensors) {
      const FileTypeRow* row = file_type_row(tensor.type);
      CHECK(row);
      bytes[static_cast<size_t>(row - kFileTypes.data())] += tensor.elements();
      quantized |= is_block(tensor.type);
    }
    const auto most = std::max_element(bytes.begin(), bytes.end()) - bytes.begin();
    keys.entries.emplace_back("general.file_type", kFileTypes[static_cast<size_t>(most)].file_type);
    if (quantized) keys.entries.emplace_back("general.quantization_version", uint32_t{2});
  }

  void take(std::span<const std::byte> part) {
    const OutTensor& tensor = tensors_[current_];
    if (tensor.dropped) return;
    if (tensor.passes()) return inner_->write(part);
    if (buffer_.empty()) buffer_.reserve(static_cast<size_t>(tensor.from.bytes()));
    buffer_.insert(buffer_.end(), part.begin(), part.end());
  }

  void end(size_t index) {
    current_ = index + 1;
    const OutTensor& tensor = tensors_[index];
    if (tensor.dropped || tensor.passes()) return;
    std::vector<std::byte> moved = in_order(tensor, std::move(buffer_));
    buffer_ = {};
    if (tensor.as_f32) moved = to_f32(tensor, moved);
    inner_->write(moved);
    if (tensor.repeated) inner_->write(moved);
  }

  static std::vector<std::byte> in_order(const OutTensor& tensor, std::vector<std::byte> bytes) {
    if (!tensor.turn && tensor.move.order == RowOrder::kSame) return bytes;
    std::vector<std::byte> result(bytes.size());
    if (tensor.turn) {
      turn_rows(
          {bytes.data(), tensor.from.rows(), tensor.from.columns(), row_bytes(tensor.from.type, 1)},
          0, tensor.from.columns(), result.data());
      return result;
    }
    const auto width = static_cast<int64_t>(bytes.size()) / std::max<int64_t>(tensor.move.rows, 1);
    for (int64_t row = 0; row < tensor.move.rows; ++row) {
      std::memcpy(result.data() + row * width, bytes.data() + source_row(tensor.move, row) * width,
                  static_cast<size_t>(width));
    }
    return result;
  }

  static std::vector<std::byte> to_f32(const OutTensor& tensor,
                                       const std::vector<std::byte>& bytes) {
    std::vector<std::byte> result(static_cast<size_t>(tensor.from.elements()) * sizeof(float));
    decode_row(tensor.from.type, bytes.data(), tensor.from.elements(),
               reinterpret_cast<float*>(result.data()));
    return result;
  }

  std::string where_;
  SinkOptions options_;
  std::unique_ptr<CheckpointWriter> inner_;
  std::vector<OutTensor> tensors_;  // one for each incoming tensor
  TensorSplitter splitter_;
  size_t current_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace

std::unique_ptr<CheckpointWriter> create_gguf_model(const std::string& where,
                                                    const SinkOptions& options) {
  return std::make_unique<GgufModelWriter>(where, options);
}

}  // namespace hone
