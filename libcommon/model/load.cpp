// load_model: carries out the plan of load_plan.h and hands out views of the result.
#include <cstring>

#include "kernels/check.h"
#include "kernels/codec/codec.h"
#include "kernels/parallel.h"
#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/base/utf8.h"
#include "libcommon/model/assemble.h"
#include "libcommon/model/load_plan.h"
#include "libcommon/model/weight_memory.h"
#include "libcommon/model/weights.h"

namespace hone {
namespace {

constexpr int64_t kPiece = int64_t{4} << 20;  // bytes that a thread reads at a time

class OwningModel : public LoadedModel {
 public:
  std::unique_ptr<CheckpointReader> reader;
  WeightMemory memory;
  std::vector<const std::byte*> data;  // of each tensor of the header; null: nothing kept
};

class Loader {
 public:
  Loader(OwningModel& model, const LoadPlan& plan, const LoadOptions& options)
      : model_(model), plan_(plan), options_(options), reader_(*model.reader) {}

  // Memory that run() will take: results, and the largest tensor that is read only to be converted.
  int64_t planned_bytes() const {
    int64_t largest = 0;
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
      const LoadAction action = plan_.steps[i].action;
      const bool converted = action != LoadAction::kKeep && action != LoadAction::kSkip;
      if (converted && !mapped(i)) largest = std::max(largest, reader_.header().tensors[i].bytes());
    }
    return result_bytes() + largest;
  }

  void run() {
    model_.data.assign(plan_.steps.size(), nullptr);
    model_.memory.reserve(result_bytes(), reader_.subject());
    if (reader_.random_access()) take_kept();
    while (reader_.next()) {
      const auto index = static_cast<size_t>(reader_.current_index());
      if (!model_.data[index]) model_.data[index] = load(plan_.steps[index], mapped(index));
    }
  }

 private:
  // Some of a tensor, and where it belongs.
  struct Piece {
    int64_t tensor;
    int64_t offset;
    std::span<std::byte> to;
  };

  int64_t result_bytes() const {
    int64_t bytes = 0;
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
      if (!stays(i)) bytes += WeightMemory::padded(plan_.steps[i].result_bytes);
    }
    return bytes;
  }

  const std::byte* mapped(size_t tensor) const {
    return reader_.mapped(static_cast<int64_t>(tensor));
  }
  // Whether a tensor is multiplied where the file is mapped.
  bool stays(size_t tensor) const {
    return plan_.steps[tensor].action == LoadAction::kKeep && options_.mode != LoadMode::kCopy &&
           mapped(tensor);
  }

  // All tensors that are kept as stored: those that do not stay are read by several threads.
  void take_kept() {
    std::vector<Piece> pieces;
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
      if (plan_.steps[i].action != LoadAction::kKeep) continue;
      if (stays(i)) {
        model_.data[i] = mapped(i);
        model_.mapped_bytes += plan_.steps[i].result_bytes;
        continue;
      }
      const int64_t bytes = plan_.steps[i].result_bytes;
      std::byte* const to = keep(bytes);
      model_.data[i] = to;
      for (int64_t at = 0; at < bytes; at += kPiece) {
        const auto count = static_cast<size_t>(std::min(kPiece, bytes - at));
        pieces.push_back({static_cast<int64_t>(i), at, {to + at, count}});
      }
    }
    const int threads = options_.threads > 0 ? options_.threads : default_threads();
    ThreadPool pool(std::clamp(static_cast<int>(std::ssize(pieces)), 1, threads));
    pool.parallel_for(std::ssize(pieces), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const Piece& piece = pieces[static_cast<size_t>(i)];
        reader_.read_at(piece.tensor, piece.offset, piece.to);
      }
    });
  }

  const std::byte* load(const LoadStep& step, const std::byte* mapped) {
    if (step.action == LoadAction::kSkip) return nullptr;
    if (step.action == LoadAction::kKeep) return read_block();
    std::unique_ptr<std::byte[]> scratch;
    if (!mapped) {
      const auto bytes = static_cast<size_t>(reader_.current().bytes());
      scratch = std::make_unique_for_overwrite<std::byte[]>(bytes);
      reader_.read({scratch.get(), bytes});
      mapped = scratch.get();
    }
    if (step.action == LoadAction::kCheckShape) return check_shape(step, mapped);
    std::byte* result = keep(step.result_bytes);
    convert(step, mapped, result);
    return result;
  }

  const std::byte* read_block() {
    const int64_t bytes = reader_.current().bytes();
    std::byte* result = keep(bytes);
    reader_.read({result, static_cast<size_t>(bytes)});
    return result;
  }

  std::byte* keep(int64_t bytes) {
    model_.resident_bytes += bytes;
    return model_.memory.take(bytes);
  }

  void convert(const LoadStep& step, const std::byte* from, std::byte* to) const {
    const TensorInfo& tensor = reader_.current();
    switch (step.action) {
      case LoadAction::kMoveRows:
        return move_rows(step.move, from, step.row_bytes, to);
      case LoadAction::kTurn:
        return turn_rows({from, tensor.rows(), tensor.columns(), row_bytes(tensor.type, 1)}, 0,
                         tensor.columns(), to);
      case LoadAction::kToF32:
        return to_f32(step, from, to);
      case LoadAction::kUnpackZeros:
        return unpack(step, from, to);
      default:
        CHECK(false);
    }
  }

  static void move_rows(const RowMove& move, const std::byte* from, int64_t bytes, std::byte* to) {
    for (int64_t row = 0; row < move.rows; ++row) {
      std::memcpy(to + row * bytes, from + source_row(move, row) * bytes,
                  static_cast<size_t>(bytes));
    }
  }

  void to_f32(const LoadStep& step, const std::byte* from, std::byte* to) const {
    const TensorInfo& tensor = reader_.current();
    const int64_t count = tensor.elements();
    if (step.move.order == RowOrder::kSame) {
      return decode_row(tensor.type, from, count, reinterpret_cast<float*>(to));
    }
    std::vector<float> values(static_cast<size_t>(count));
    decode_row(tensor.type, from, count, values.data());
    move_rows(step.move, reinterpret_cast<const std::byte*>(values.data()), sizeof(float), to);
  }

  static void unpack(const LoadStep& step, const std::byte* from, std::byte* to) {
    const int64_t rows = step.move.rows;
    auto* zeros = reinterpret_cast<int8_t*>(to);
    if (step.move.order == RowOrder::kSame) {
      return unpack_zeros(from, rows, step.groups, step.bits, zeros);
    }
    std::vector<int8_t> stored(static_cast<size_t>(rows * step.groups));
    unpack_zeros(from, rows, step.groups, step.bits, stored.data());
    move_rows(step.move, reinterpret_cast<const std::byte*>(stored.data()), step.groups, to);
  }

  const std::byte* check_shape(const LoadStep& step, const std::byte* bytes) const {
    const TensorInfo& tensor = reader_.current();
    int64_t stored[2] = {};
    if (tensor.type != DType::kI64 || tensor.bytes() != sizeof stored) {
      throw Error(reader_.subject() + ": tensor " + quote_name(tensor.name) + " must be two I64");
    }
    std::memcpy(stored, bytes, sizeof stored);
    if (stored[0] != step.expected_shape[0] || stored[1] != step.expected_shape[1]) {
      throw Error(reader_.subject() + ": tensor " + quote_name(tensor.name) + " says " +
                  shape_text({stored[0], stored[1]}) + ", the weights are " +
                  shape_text(step.expected_shape));
    }
    return nullptr;
  }

  OwningModel& model_;
  const LoadPlan& plan_;
  const LoadOptions& options_;
  CheckpointReader& reader_;
};

void check_memory(int64_t needed, const LoadOptions& options, const std::string& subject) {
  if (options.max_memory <= 0 || needed <= options.max_memory) return;
  throw resource_error(subject + ": loading takes " + human_bytes(static_cast<double>(needed)) +
                       " of memory, --max-memory allows " +
                       human_bytes(static_cast<double>(options.max_memory)));
}

void check_mode(LoadMode mode, const CheckpointReader& reader) {
  if (mode != LoadMode::kMap) return;
  for (int64_t i = 0; i < std::ssize(reader.header().tensors); ++i) {
    if (reader.mapped(i)) return;
  }
  throw usage_error("--load map: these weights do not come from a file, so they lie in memory");
}

}  // namespace

std::optional<LoadMode> load_mode_from_name(std::string_view name) {
  if (name == "auto") return LoadMode::kAuto;
  if (name == "map") return LoadMode::kMap;
  if (name == "copy") return LoadMode::kCopy;
  if (name == "repack") return LoadMode::kRepack;
  return std::nullopt;
}

const char* weights_place(const LoadedModel& model) {
  return model.mapped_bytes > model.resident_bytes ? "mapped" : "in memory";
}

std::unique_ptr<LoadedModel> load_model(std::unique_ptr<CheckpointReader> reader,
                                        const LoadOptions& options) {
  const Clock::time_point start = Clock::now();
  auto model = std::make_unique<OwningModel>();
  model->reader = std::move(reader);
  const CheckpointHeader& header = model->reader->header();
  model->subject = model->reader->subject();
  model->spec = spec_from_checkpoint(header, model->subject);
  check_mode(options.mode, *model->reader);
  const LoadPlan plan = plan_load(header, model->spec, model->subject);
  Loader loader(*model, plan, options);
  check_memory(loader.planned_bytes(), options, model->subject);
  loader.run();
  assemble(*model, plan, model->data);
  model->files = header.files;
  model->tokenizer_fault = header.tokenizer_fault;
  model->history = header.history;
  model->stored_bytes = header.total_bytes();
  model->load_seconds = seconds_since(start);
  return model;
}

}  // namespace hone
