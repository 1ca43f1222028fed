// Joins the tensors that store one matrix, and checks that they fit: shapes, types, the scheme that
// config.json gives.
#include <algorithm>
#include <unordered_map>

#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"
#include "libcommon/model/config.h"
#include "libcommon/model/names.h"
#include "libcommon/model/quantization_config.h"
#include "libcommon/model/weights.h"

namespace hone {
namespace {

// Parts of schemes that are not implemented.
constexpr std::string_view kRefusedEnds[] = {
    ".weight_g_idx",       ".weight_global_scale", ".input_scale", ".input_zero_point",
    ".input_global_scale", ".weight_scale_inv",    ".qweight",     ".qzeros"};

constexpr int64_t kWidest = int64_t{1} << 32;  // columns; products of two such fit 64 bits

class Joiner {
 public:
  Joiner(const CheckpointHeader& header, const std::string& subject)
      : header_(header),
        subject_(subject),
        config_(config_of(header, subject)),
        quantization_(config_, subject) {}

  std::vector<StoredWeight> join() {
    for (size_t i = 0; i < header_.tensors.size(); ++i) add(static_cast<int64_t>(i));
    for (StoredWeight& weight : weights_) resolve(weight);
    return std::move(weights_);
  }

 private:
  const TensorInfo& tensor(int64_t index) const {
    return header_.tensors[static_cast<size_t>(index)];
  }

  [[noreturn]] void refuse(const StoredWeight& weight, const std::string& fact) const {
    throw Error(subject_ + ": tensor " + quote_name(weight.name) + ": " + fact);
  }

  void add(int64_t index) {
    const std::string& name = tensor(index).name;
    for (std::string_view end : kRefusedEnds) {
      if (name.ends_with(end)) {
        throw Error(subject_ + ": tensor '" + name +
                    "': this kind of quantization is not implemented");
      }
    }
    const PartName part = part_of(name);
    const auto [entry, fresh] = by_name_.try_emplace(part.weight, weights_.size());
    if (fresh) {
      weights_.emplace_back();
      weights_.back().name = part.weight;
    }
    StoredWeight& weight = weights_[entry->second];
    int64_t& slot = slot_of(weight, part.part);
    if (slot >= 0)
      refuse(weight,
             "is stored twice, as " + quote_name(tensor(slot).name) + " and " + quote_name(name));
    slot = index;
    if (part.part == Part::kPacked) packed_.insert({part.weight, index});
  }

  static int64_t& slot_of(StoredWeight& weight, Part part) {
    switch (part) {
      case Part::kScale:
        return weight.scale;
      case Part::kZeroPoint:
        return weight.zero_point;
      case Part::kIndex:
        return weight.index;
      case Part::kShape:
        return weight.shape;
      default:
        return weight.payload;
    }
  }

  void resolve(StoredWeight& weight) {
    if (weight.payload < 0) refuse(weight, "has side tensors but no weights");
    const TensorInfo& payload = tensor(weight.payload);
    const bool packed = packed_.count(weight.name) != 0;
    WeightView& view = weight.view;
    view.type = payload.type;
    view.rows = payload.rows();
    view.columns = payload.columns();
    if (weight.scale >= 0) {
      apply_format(weight, packed);
    } else {
      check_plain(weight, packed);
    }
    if (weight.index >= 0 && weight.scale < 0) view.columns = indexed_columns(weight);
    view.row_stride = payload.rows() == 0 ? 0 : payload.bytes() / payload.rows();
    if (weight.index >= 0) check_index(weight);
    if (payload.rows() > 0 && payload_row_bytes_of(weight) != view.row_stride) {
      refuse(weight, "has rows of " + std::to_string(view.row_stride) + " bytes, its shape needs " +
                         std::to_string(payload_row_bytes_of(weight)));
    }
  }

  void check_plain(const StoredWeight& weight, bool packed) const {
    if (packed) refuse(weight, "weight_packed without weight_scale");
    if (weight.zero_point >= 0) refuse(weight, "weight_zero_point without weight_scale");
    if (weight.shape >= 0) refuse(weight, "weight_shape without weight_packed");
    const DType type = tensor(weight.payload).type;
    const bool numbers = is_block(type) || (is_float(type) && type < DType::kF8E4M3);
    if (!numbers && weight.name.ends_with(".weight")) {
      refuse(weight, "is " + std::string(name(type)) + " without weight_scale");
    }
  }

  int64_t indexed_columns(const StoredWeight& weight) const {
    const int64_t columns = tensor(weight.index).columns();
    if (columns > kWidest) refuse(weight, "weight_index is too wide");
    return columns * 8;
  }

  void check_index(const StoredWeight& weight) const {
    const TensorInfo& index = tensor(weight.index);
    const bool fits =
        index.type == DType::kU8 && index.shape.size() == 2 && weight.view.columns % 8 == 0 &&
        index.shape == std::vector<int64_t>{weight.view.rows, weight.view.columns / 8};
    if (!fits) refuse(weight, "weight_index " + shape_text(index.shape) + " does not fit");
  }

  // Bytes of a payload row by the rules of tensor_view.h, from the view without its pointers.
  int64_t payload_row_bytes_of(const StoredWeight& weight) const {
    WeightView view = weight.view;
    static constexpr std::byte kSomeIndex{};
    if (weight.index >= 0) view.index = &kSomeIndex;
    if (view.packed_bits == 0 && view.stored_columns() % info(view.type).block_elements != 0) {
      refuse(weight, "rows are not whole blocks");
    }
    return payload_row_bytes(view);
  }

  ModuleClass class_of(const std::string& name) {
    const TensorSpec* expected = expected_tensor(name);
    return expected != nullptr && is_embedding(expected->role) ? ModuleClass::kEmbedding
                                                               : ModuleClass::kLinear;
  }

  void apply_format(StoredWeight& weight, bool packed) {
    const auto format = quantization_.find(module_of(weight.name), class_of(weight.name));
    if (!format) {
      refuse(weight, "is quantized, but config.json's quantization_config does not cover it");
    }
    const TensorInfo& payload = tensor(weight.payload);
    const DType expected = format->packed     ? DType::kI32
                           : format->is_float ? DType::kF8E4M3
                                              : DType::kI8;
    if (format->packed != packed || payload.type != expected || payload.shape.size() != 2 ||
        (!packed && !format->is_float && format->bits > 8)) {
      refuse(weight, "is " + std::string(name(payload.type)) + " " + shape_text(payload.shape) +
                         ", config.json's quantization_config says otherwise");
    }
    if (packed && weight.shape < 0) refuse(weight, "weight_packed without weight_shape");
    WeightView& view = weight.view;
    view.packed_bits = packed ? format->bits : 0;
    view.quantize_input = format->quantize_input;
    view.columns = dense_columns(weight, *format);
    apply_scales(weight, *format);
    apply_zeros(weight, *format);
  }

  // A packed row ends at a 32-bit word, so its length is known from elsewhere: 2:4 positions, the
  // model's shape, else the groups; else the row is taken to be full.
  int64_t dense_columns(const StoredWeight& weight, const QuantizedFormat& format) {
    if (weight.index >= 0) return indexed_columns(weight);
    if (!format.packed) return tensor(weight.payload).columns();
    if (const TensorSpec* expected = expected_tensor(weight.name)) {
      const bool turned = expected->layout == StoredLayout::kInOut;
      return turned ? expected->shape.front() : expected->shape.back();
    }
    const int64_t groups = tensor(weight.scale).columns();
    const int64_t words = tensor(weight.payload).columns();
    if (groups > kWidest || words > kWidest) refuse(weight, "is too wide");
    return format.group > 0 ? format.group * groups : words * 32 / format.bits;
  }

  // What the model expects under a name, null where it knows none.
  const TensorSpec* expected_tensor(const std::string& name) {
    if (!spec_) {
      spec_ = build_spec(config_, names_of(header_), subject_);
      for (const TensorSpec& tensor : spec_->tensors) expected_[tensor.name] = &tensor;
    }
    const auto found = expected_.find(name);
    return found == expected_.end() ? nullptr : found->second;
  }

  void apply_scales(StoredWeight& weight, const QuantizedFormat& format) const {
    const TensorInfo& scale = tensor(weight.scale);
    WeightView& view = weight.view;
    view.scale_type = scale.type;
    view.scale_rows = format.group < 0 ? 1 : view.rows;
    view.group = format.group > 0 ? format.group : view.columns;
    if (view.group == 0 || view.columns % view.group != 0) {
      refuse(weight, std::to_string(view.columns) + " columns are no multiple of the group " +
                         std::to_string(view.group));
    }
    const int64_t groups = view.columns / view.group;
    const bool known =
        scale.type == DType::kF32 || scale.type == DType::kF16 || scale.type == DType::kBF16;
    const bool shaped = scale.elements() == view.scale_rows * groups &&
                        (scale.columns() == groups || scale.elements() == 1 ||
                         (groups == 1 && scale.shape.size() == 1));
    if (!known || !shaped) {
      refuse(weight, "weight_scale " + std::string(name(scale.type)) + " " +
                         shape_text(scale.shape) + " does not fit");
    }
  }

  void apply_zeros(const StoredWeight& weight, const QuantizedFormat& format) const {
    if ((weight.zero_point < 0) != format.symmetric) {
      refuse(weight, format.symmetric ? "has weight_zero_point in a symmetric scheme"
                                      : "lacks weight_zero_point");
    }
    if (weight.zero_point < 0) return;
    const WeightView& view = weight.view;
    const TensorInfo& zeros = tensor(weight.zero_point);
    const int64_t groups = view.columns / view.group;
    const int64_t words = packed_words(view.rows, format.bits);
    const bool fits =
        format.packed
            ? zeros.type == DType::kI32 && zeros.shape == std::vector<int64_t>{words, groups}
            : zeros.type == DType::kI8 && zeros.elements() == view.rows * groups;
    if (!fits || format.is_float || format.group < 0) {
      refuse(weight, "weight_zero_point " + std::string(name(zeros.type)) + " " +
                         shape_text(zeros.shape) + " does not fit");
    }
  }

  static int64_t packed_words(int64_t count, int bits) { return (count * bits + 31) / 32; }

  const CheckpointHeader& header_;
  std::string subject_;
  Json config_;
  QuantizationConfig quantization_;
  std::optional<ModelSpec> spec_;
  std::unordered_map<std::string, const TensorSpec*> expected_;
  std::vector<StoredWeight> weights_;
  std::unordered_map<std::string, size_t> by_name_;
  std::unordered_map<std::string, int64_t> packed_;
};

}  // namespace

std::vector<StoredWeight> stored_weights(const CheckpointHeader& header,
                                         const std::string& subject) {
  return Joiner(header, subject).join();
}

}  // namespace hone
