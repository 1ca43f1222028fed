// From a recipe to steps: what each tensor becomes, with fallbacks where a scheme does not fit its
// shape, and the config.json that says so.
#include <algorithm>

#include "kernels/check.h"
#include "kernels/codec/codec.h"
#include "libcommon/model/model_io.h"
#include "libcommon/quant/config.h"
#include "libcommon/quant/quantizer.h"

namespace hone {
namespace {

std::string module_name(const std::string& weight) {
  return weight.ends_with(".weight") ? weight.substr(0, weight.size() - 7) : weight;
}

// The scheme of a matrix that is quantized and stays so.
Scheme stored_scheme(const StoredWeight& weight) {
  const WeightView& view = weight.view;
  Scheme scheme;
  scheme.kind = view.type == DType::kF8E4M3 ? SchemeKind::kFloat8 : SchemeKind::kInt;
  scheme.bits = view.packed_bits > 0 ? view.packed_bits : 8;
  scheme.symmetric = weight.zero_point < 0;
  scheme.strategy = view.scale_rows == 1 && view.rows > 1 ? Strategy::kTensor
                    : view.group == view.columns          ? Strategy::kChannel
                                                          : Strategy::kGroup;
  scheme.group = scheme.strategy == Strategy::kGroup ? view.group : 0;
  scheme.quantize_input = view.quantize_input;
  return scheme;
}

class Planner {
 public:
  Planner(const CheckpointHeader& header, const std::string& subject,
          const QuantizeOptions& options)
      : header_(header),
        subject_(subject),
        options_(options),
        recipe_(options),
        spec_(spec_from_checkpoint(header, subject)) {}

  QuantizePlan plan() {
    std::vector<StoredWeight> weights = stored_weights(header_, subject_);
    std::sort(weights.begin(), weights.end(),
              [](const StoredWeight& a, const StoredWeight& b) { return a.payload < b.payload; });
    for (const StoredWeight& weight : weights) add(weight);
    if (result_.tensors.empty() && !changes_container_) {
      throw usage_error(subject_ +
                        ": nothing would change; do --include, --exclude and --set "
                        "leave any tensor?");
    }
    std::sort(steps_.begin(), steps_.end(),
              [](const Step& a, const Step& b) { return a.input < b.input; });
    result_.plan = plan_stage(header_, std::move(steps_));
    write_config();
    add_notes();
    note_unmatched(weights);
    return std::move(result_);
  }

 private:
  const TensorInfo& tensor(int64_t index) const {
    return header_.tensors[static_cast<size_t>(index)];
  }

  void add(const StoredWeight& weight) {
    const TensorSpec* known = spec_.find(weight.name);
    Scheme scheme = recipe_.scheme_for(weight.name, known, spec_.tied);
    const TensorInfo& payload = tensor(weight.payload);
    const bool plain = weight.scale < 0 && !is_block(payload.type);
    if (plain && !(is_float(payload.type) && payload.type <= DType::kBF16)) {
      scheme = find_scheme("none");  // a buffer of integers
    }
    if (scheme.kind == SchemeKind::kKeep && is_block(payload.type) && recipe_.base().scaled()) {
      scheme = find_scheme("f16");  // compressed-tensors models have no GGUF blocks
      ++decoded_;
    }
    const bool same =
        scheme.kind == SchemeKind::kCast && weight.scale < 0 && payload.type == scheme.type;
    changes_container_ |= same;  // as in --scheme bf16 -o x.gguf of a BF16 model
    if (scheme.kind == SchemeKind::kKeep || same) {
      keep(weight, known);
      return;
    }
    fit_to_shape(scheme, weight, known);
    check_input(weight, scheme);
    check_output(weight, scheme);
    note_module(weight, known, scheme);
    convert(weight, known, scheme);
  }

  void keep(const StoredWeight& weight, const TensorSpec* known) {
    for (int64_t part :
         {weight.payload, weight.scale, weight.zero_point, weight.index, weight.shape}) {
      if (part >= 0) steps_.push_back(copy_step(header_, part));
    }
    note_module(weight, known, weight.scale >= 0 ? stored_scheme(weight) : find_scheme("none"));
  }

  // For quantization_config: modules with a matrix that could be quantized.
  void note_module(const StoredWeight& weight, const TensorSpec* known, const Scheme& scheme) {
    if (known == nullptr || !is_weight_matrix(*known)) return;
    modules_.push_back({module_name(weight.name), scheme, is_embedding(known->role)});
  }

  int64_t inputs(const StoredWeight& weight, const TensorSpec* known) const {
    return turned(known) && stored_plain(weight) ? weight.view.rows : weight.view.columns;
  }

  // Stored as one tensor of plain numbers, [in, out] in GPT-2.
  bool stored_plain(const StoredWeight& weight) const {
    return weight.scale < 0 && weight.index < 0 && !is_block(tensor(weight.payload).type);
  }
  static bool turned(const TensorSpec* known) {
    return known != nullptr && known->layout == StoredLayout::kInOut && known->shape.size() == 2;
  }

  void fit_to_shape(Scheme& scheme, const StoredWeight& weight, const TensorSpec* known) {
    const int64_t columns = inputs(weight, known);
    if (scheme.to_blocks() && columns % info(scheme.type).block_elements != 0) {
      scheme = find_scheme("f16");
      ++unblocked_;
    }
    if (!scheme.scaled() || scheme.strategy != Strategy::kGroup || columns % scheme.group == 0) {
      return;
    }
    ++regrouped_;
    for (int64_t group : {128, 64, 32}) {
      if (group < scheme.group && columns % group == 0) {
        scheme.group = group;
        return;
      }
    }
    scheme.strategy = Strategy::kChannel;
    scheme.group = 0;
  }

  void check_input(const StoredWeight& weight, const Scheme& scheme) const {
    const DType type = tensor(weight.payload).type;
    const bool quantized = weight.scale >= 0 || is_block(type);
    const bool lossy = scheme.scaled() || scheme.to_blocks();
    if (!quantized || !lossy || options_.requantize) return;
    const std::string stored =
        is_block(type) ? std::string(name(type)) : describe(stored_scheme(weight));
    throw Error(subject_ + ": tensor '" + weight.name + "' is quantized already (" + stored +
                "); quantizing again adds errors: start from the original model, or give "
                "--requantize");
  }

  // create_model refuses these, too; here the advice comes before any work.
  void check_output(const StoredWeight& weight, const Scheme& scheme) const {
    const std::string& out = options_.output;
    if (out.ends_with(".gguf") && scheme.scaled()) {
      throw usage_error(out + ": GGUF has no " + describe(scheme) + " ('" + weight.name +
                        "'); give --scheme q8_0, q4_0, q4_1, f16, bf16 or f32");
    }
    if (!out.ends_with(".gguf") && !writes_stream(out) && scheme.to_blocks()) {
      throw usage_error(out + ": a Hugging Face directory cannot hold " +
                        std::string(name(scheme.type)) + " ('" + weight.name +
                        "'); write to a .gguf file, or give --scheme w8a16 or w4a16");
    }
  }

  // Scales are stored in the model's own float type.
  DType scale_type(const StoredWeight& weight) const {
    if (weight.scale >= 0) return tensor(weight.scale).type;
    const DType type = tensor(weight.payload).type;
    if (is_block(type)) return DType::kF16;
    return type == DType::kF64 ? DType::kF32 : type;
  }

  void convert(const StoredWeight& weight, const TensorSpec* known, const Scheme& scheme) {
    const bool out_in = !stored_plain(weight);
    const bool turn = turned(known);
    if (turn && scheme.scaled()) ++turned_;
    if (known != nullptr && known->role == Role::kEmbedding && scheme.scaled()) ++embedded_;
    // 2:4 positions stay valid when only the kept values change; blocks have no place for them.
    const bool through = weight.index >= 0 && weight.scale < 0 && !scheme.to_blocks();
    const bool wants_out_in = scheme.scaled() || scheme.to_blocks() || through;
    const bool transpose = turn && out_in != wants_out_in;
    const bool parts = weight.scale >= 0 || (weight.index >= 0 && !through);
    const TensorInfo& payload = tensor(weight.payload);
    QuantizedTensor entry;
    entry.name = weight.name;
    entry.scheme = scheme;
    Step step;
    step.input = weight.payload;
    if (parts) step.sides = MatrixInput::part_indices(weight);
    const MatrixInput input = parts ? MatrixInput::joined(weight, header_, transpose)
                                    : MatrixInput::plain(payload, transpose);
    const int64_t columns = through ? weight.view.columns : input.columns();
    entry.elements = input.rows() * columns;
    entry.shape =
        payload.shape.size() == 2 ? std::vector<int64_t>{input.rows(), columns} : payload.shape;
    if (scheme.scaled()) {
      set_rounding(entry, step, input, weight, columns);
    } else {
      set_cast(entry, step, input, payload);
    }
    for (int64_t part :
         {weight.payload, weight.scale, weight.zero_point, weight.index, weight.shape}) {
      if (part >= 0) entry.bytes_before += tensor(part).bytes();
    }
    for (const TensorInfo& out : step.outputs) entry.bytes_after += out.bytes();
    steps_.push_back(step);
    if (through) {
      steps_.push_back(copy_step(header_, weight.index));
      entry.bytes_after += tensor(weight.index).bytes();
    }
    result_.tensors.push_back(std::move(entry));
  }

  void set_rounding(QuantizedTensor& entry, Step& step, const MatrixInput& input,
                    const StoredWeight& weight, int64_t columns) {
    entry.rounding =
        std::make_shared<RoundingTransform>(input, RoundingJob{.name = weight.name,
                                                               .subject = subject_,
                                                               .scheme = entry.scheme,
                                                               .scale_type = scale_type(weight),
                                                               .columns = columns,
                                                               .allow_nan = options_.allow_nan});
    step.outputs = entry.rounding->outputs();
    step.transform = entry.rounding;
  }

  void set_cast(QuantizedTensor& entry, Step& step, const MatrixInput& input,
                const TensorInfo& payload) {
    TensorInfo out{entry.name, entry.scheme.type, payload.shape};
    if (payload.shape.size() == 2) out.shape = {input.rows(), input.columns()};
    entry.cast = std::make_shared<CastTransform>(input, CastJob{.name = entry.name,
                                                                .subject = subject_,
                                                                .type = entry.scheme.type,
                                                                .allow_nan = options_.allow_nan});
    step.outputs = {out};
    step.transform = entry.cast;
  }

  void write_config() {
    const auto file = header_.files.find("config.json");
    CHECK(file != header_.files.end());  // spec_from_checkpoint needed it
    Json config = parse_json(file->second, subject_ + ": config.json");
    const Json before = config;
    config.erase("quantization_config");
    const Json quantization = quantization_config(modules_, {"lm_head"});
    if (!quantization.is_null()) config["quantization_config"] = quantization;
    const Scheme& base = recipe_.base();
    if (base.kind == SchemeKind::kCast && !base.to_blocks()) set_dtype(config, base.type);
    if (config != before) result_.plan.header.files["config.json"] = config.dump(2) + "\n";
  }

  static void set_dtype(Json& config, DType type) {
    const char* text = type == DType::kF32   ? "float32"
                       : type == DType::kF16 ? "float16"
                                             : "bfloat16";
    for (const char* key : {"torch_dtype", "dtype"}) {
      if (config.contains(key)) config[key] = text;
    }
  }

  void add_notes() {
    const auto note = [&](int64_t count, const std::string& text) {
      if (count > 0) result_.notes.push_back(std::to_string(count) + " tensors " + text);
    };
    note(regrouped_,
         "have rows that the group size does not divide; they get smaller groups or one "
         "scale per output");
    note(unblocked_, "have rows that are no multiple of 32 and become F16");
    note(decoded_, "of GGUF block types are not quantized and become F16");
    note(turned_,
         "are Conv1D matrices, written [out, in]; transformers cannot load a quantized "
         "Conv1D");
    note(embedded_, "are embeddings; transformers cannot load a quantized Embedding");
  }

  void note_unmatched(const std::vector<StoredWeight>& weights) {
    std::vector<std::string> names;
    for (const StoredWeight& weight : weights) names.push_back(weight.name);
    std::ranges::move(recipe_.unmatched(names), std::back_inserter(result_.notes));
  }

  const CheckpointHeader& header_;
  const std::string& subject_;
  const QuantizeOptions& options_;
  Recipe recipe_;
  ModelSpec spec_;
  QuantizePlan result_;
  std::vector<Step> steps_;
  std::vector<QuantizedModule> modules_;
  int64_t regrouped_ = 0;
  int64_t unblocked_ = 0;
  int64_t decoded_ = 0;
  bool changes_container_ = false;  // a tensor has the type that is wanted
  int64_t turned_ = 0;
  int64_t embedded_ = 0;
};

}  // namespace

QuantizePlan plan_quantization(const CheckpointHeader& header, const std::string& subject,
                               const QuantizeOptions& options) {
  return Planner(header, subject, options).plan();
}

}  // namespace hone
