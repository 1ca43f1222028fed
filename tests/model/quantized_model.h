// A tiny model whose q, k, v matrix or one Linear is stored in a quantized form, with the values
// that must come out of it.
#pragma once

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "kernels/codec/codec.h"
#include "libcommon/base/rng.h"
#include "libcommon/io/json.h"
#include "tests/model/memory_checkpoint.h"

namespace hone::testing {

struct QuantizedForm {
  int bits = 4;
  bool packed = true;
  bool is_float = false;
  bool symmetric = true;
  int64_t group = 8;  // 0: a row, -1: the tensor
  bool sparse = false;
  bool quantize_input = false;
};

inline Json quantization_config(const QuantizedForm& form) {
  Json weights = {{"num_bits", form.bits},
                  {"type", form.is_float ? "float" : "int"},
                  {"symmetric", form.symmetric},
                  {"strategy", form.group < 0    ? "tensor"
                               : form.group == 0 ? "channel"
                                                 : "group"}};
  if (form.group > 0) weights["group_size"] = form.group;
  Json group = {{"targets", {"Linear"}}, {"weights", weights}, {"input_activations", nullptr}};
  if (form.quantize_input) {
    group["input_activations"] = {{"num_bits", 8},
                                  {"type", form.is_float ? "float" : "int"},
                                  {"symmetric", true},
                                  {"strategy", "token"},
                                  {"dynamic", true}};
  }
  return {{"quant_method", "compressed-tensors"},
          {"format", form.packed     ? "pack-quantized"
                     : form.is_float ? "float-quantized"
                                     : "int-quantized"},
          {"quantization_status", "compressed"},
          {"ignore", {"lm_head"}},
          {"config_groups", {{"group_0", group}}}};
}

// Tensors of one matrix and the dense values they mean, [rows, columns].
struct QuantizedMatrix {
  std::vector<TensorInfo> infos;
  std::vector<Bytes> data;
  std::vector<float> values;
};

inline constexpr float kDropped = 1e30f;

class MatrixMaker {
 public:
  MatrixMaker(std::string module, int64_t rows, int64_t columns, QuantizedForm form)
      : module_(std::move(module)), rows_(rows), columns_(columns), form_(form) {}

  QuantizedMatrix make() {
    make_scales();
    if (!form_.symmetric) make_zeros();
    make_payload();
    if (form_.packed) {
      add(".weight_shape", DType::kI64, {2}, bytes_of(std::vector<int64_t>{rows_, columns_}));
    }
    return std::move(result_);
  }

 private:
  int64_t width() const { return form_.group > 0 ? form_.group : columns_; }
  int64_t groups() const { return columns_ / width(); }
  uint64_t draw(uint64_t stream, int64_t index) const {
    return random_bits(1, stream, static_cast<uint64_t>(index));
  }

  void add(const std::string& suffix, DType type, std::vector<int64_t> shape, Bytes bytes) {
    result_.infos.push_back({module_ + suffix, type, std::move(shape)});
    result_.data.push_back(std::move(bytes));
  }

  void make_scales() {
    const bool tensor = form_.group < 0;
    const int64_t count = tensor ? 1 : rows_ * groups();
    for (int64_t i = 0; i < count; ++i) {
      scales_.push_back(0.5f + static_cast<float>(draw(2, i) % 64) / 64.0f);
    }
    add(".weight_scale", DType::kF32,
        tensor ? std::vector<int64_t>{1} : std::vector<int64_t>{rows_, groups()},
        bytes_of(scales_));
  }

  void make_zeros() {
    for (int64_t i = 0; i < rows_ * groups(); ++i) zeros_.push_back(small(3, i));
    Bytes packed(static_cast<size_t>((rows_ * form_.bits + 31) / 32 * 4 * groups()));
    pack_zeros(zeros_.data(), rows_, groups(), form_.bits, packed.data());
    add(".weight_zero_point", DType::kI32, {(rows_ * form_.bits + 31) / 32, groups()}, packed);
  }

  int8_t small(uint64_t stream, int64_t i) const {
    const int range = 1 << form_.bits;
    return static_cast<int8_t>(static_cast<int>(draw(stream, i) % static_cast<uint64_t>(range)) -
                               range / 2);
  }

  void make_payload() {
    const int64_t stored = form_.sparse ? columns_ / 2 : columns_;
    Bytes payload, index;
    std::vector<int8_t> row(static_cast<size_t>(stored));
    for (int64_t r = 0; r < rows_; ++r) {
      std::vector<float> elements(static_cast<size_t>(stored));
      for (int64_t c = 0; c < stored; ++c) {
        row[static_cast<size_t>(c)] = small(4, r * stored + c);
        elements[static_cast<size_t>(c)] = static_cast<float>(row[static_cast<size_t>(c)]);
      }
      append_row(row, elements, payload);
      std::vector<float> dense = elements;
      if (form_.sparse) dense = spread(elements, r, index);
      for (int64_t c = 0; c < columns_; ++c) {
        result_.values.push_back(value(dense[static_cast<size_t>(c)], r, c));
      }
    }
    const int64_t words = static_cast<int64_t>(payload.size()) / rows_ / 4;
    add(form_.packed ? ".weight_packed" : ".weight",
        form_.packed     ? DType::kI32
        : form_.is_float ? DType::kF8E4M3
                         : DType::kI8,
        {rows_, form_.packed ? words : stored}, payload);
    if (form_.sparse) add(".weight_index", DType::kU8, {rows_, columns_ / 8}, index);
  }

  void append_row(const std::vector<int8_t>& row, std::vector<float>& elements, Bytes& payload) {
    const auto count = static_cast<int64_t>(row.size());
    if (form_.packed) {
      Bytes packed(static_cast<size_t>(packed_row_bytes(count, form_.bits)));
      pack_row(row.data(), count, form_.bits, packed.data());
      payload.insert(payload.end(), packed.begin(), packed.end());
      return;
    }
    for (size_t c = 0; c < row.size(); ++c) {
      if (form_.is_float) {
        const uint8_t bits = f32_to_f8e4m3(elements[c] / 16);
        elements[c] = f8e4m3_to_f32(bits);
        payload.push_back(static_cast<std::byte>(bits));
      } else {
        payload.push_back(static_cast<std::byte>(row[c]));
      }
    }
  }

  std::vector<float> spread(const std::vector<float>& kept, int64_t row, Bytes& index) const {
    constexpr int kPairs[6][2] = {{0, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 3}};
    std::vector<float> dense(static_cast<size_t>(columns_), kDropped);
    for (int64_t quad = 0; quad < columns_ / 4; ++quad) {
      const int* pair = kPairs[draw(5, row * columns_ + quad) % 6];
      const auto nibble = static_cast<std::byte>(pair[0] | pair[1] << 2);
      if (quad % 2 == 0) index.push_back(nibble);
      if (quad % 2 == 1) index.back() |= nibble << 4;
      dense[static_cast<size_t>(4 * quad + pair[0])] = kept[static_cast<size_t>(2 * quad)];
      dense[static_cast<size_t>(4 * quad + pair[1])] = kept[static_cast<size_t>(2 * quad + 1)];
    }
    return dense;
  }

  // What 2:4 leaves out is zero, whatever the zero point.
  float value(float element, int64_t r, int64_t c) const {
    if (element == kDropped) return 0.0f;
    const int64_t g = r * groups() + c / width();
    const float scale = scales_[form_.group < 0 ? 0 : static_cast<size_t>(g)];
    const float zero = zeros_.empty() ? 0.0f : static_cast<float>(zeros_[static_cast<size_t>(g)]);
    return (element - zero) * scale;
  }

  std::string module_;
  int64_t rows_, columns_;
  QuantizedForm form_;
  std::vector<float> scales_;
  std::vector<int8_t> zeros_;
  QuantizedMatrix result_;
};

// `model` with the matrix MODULE.weight, [out, in], stored in a quantized form; the values go to
// `values`.
inline std::unique_ptr<MemoryReader> quantize_module(
    CheckpointReader& model, const std::string& module, std::pair<int64_t, int64_t> shape,
    const QuantizedForm& form, MemoryReader::Kind kind, std::vector<float>& values) {
  CheckpointHeader header = model.header();
  Json config = parse_json(header.files.at("config.json"), "test");
  config["quantization_config"] = quantization_config(form);
  header.files["config.json"] = config.dump();
  QuantizedMatrix matrix = MatrixMaker(module, shape.first, shape.second, form).make();
  values = matrix.values;
  std::vector<TensorInfo> infos;
  std::vector<Bytes> data;
  while (model.next()) {
    if (model.current().name != module + ".weight") {
      infos.push_back(model.current());
      data.push_back(read_current(model));
      continue;
    }
    infos.insert(infos.end(), matrix.infos.begin(), matrix.infos.end());
    data.insert(data.end(), matrix.data.begin(), matrix.data.end());
  }
  header.tensors = infos;
  return std::make_unique<MemoryReader>(header, data, kind);
}

inline std::vector<float> dense_values(const WeightView& view) {
  std::vector<float> values(static_cast<size_t>(view.rows * view.columns));
  for (int64_t r = 0; r < view.rows; ++r)
    decode_weight_row(view, r, values.data() + r * view.columns);
  return values;
}

}  // namespace hone::testing
