#include "libcommon/compress/pipeline.h"

#include <algorithm>
#include <exception>
#include <set>
#include <thread>

#include "kernels/check.h"
#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/tool.h"
#include "libcommon/compress/buffers.h"
#include "libcommon/compress/mapping.h"
#include "libcommon/compress/step_source.h"

namespace hone {
namespace {

// Room for a chunk being read, one waiting and one being worked on; the same behind the worker.
// A held tensor of kWholeBytes and the next one's beginning fit, too.
constexpr int64_t kInputBytes = 48 << 20;
constexpr int64_t kOutputBytes = 24 << 20;
constexpr int64_t kIdleBytes = 2 * BufferPool::kKeptBuffers * kChunkBytes;  // kept for reuse

struct OutputItem {
  std::shared_ptr<Bytes> storage;
  std::span<const std::byte> bytes;
  int64_t progress = 0;  // input bytes that this output stands for
};

// Thrown where a closed pool tells a thread that another one has failed.
struct Stopped {};

// The first error wins; everyone else is told to stop.
class FirstError {
 public:
  void keep(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = error;
  }
  void rethrow() {
    const std::lock_guard lock(mutex_);
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr error_;
};

class Pipeline {
 public:
  Pipeline(CheckpointReader& reader, CheckpointWriter& writer, const StagePlan& plan,
           const PipelineOptions& options)
      : reader_(reader), writer_(writer), plan_(plan), options_(options), pool_(options.threads) {}

  void run() {
    const std::string& fault = reader_.header().tokenizer_fault;
    if (!fault.empty()) log_warning(fault + "; the result has no tokenizer");
    writer_.begin(plan_.header);
    {
      std::jthread reading([this] { guard([this] { read(); }); });
      std::jthread writing([this] { guard([this] { write(); }); });
      guard([this] { work(); });
      outputs_.close();
    }
    error_.rethrow();
    writer_.finish(options_.statistics ? options_.statistics() : Json(nullptr));
  }

 private:
  void guard(const std::function<void()>& body) {
    try {
      body();
    } catch (...) {
      error_.keep(std::current_exception());
      input_pool_.close();
      output_pool_.close();
      inputs_.abort();
      outputs_.abort();
    }
  }

  void read() {
    read_steps(reader_, plan_.steps, input_pool_,
               [this](SourceItem item) { inputs_.push(std::move(item)); });
    inputs_.close();
  }

  void work() {
    while (auto item = inputs_.pop()) {
      const Step& step = plan_.steps[item->step];
      switch (item->kind) {
        case SourceItem::Kind::kStart:
          written_ = 0;
          if (step.transform) step.transform->start(*item->sides);
          break;
        case SourceItem::Kind::kScan:
          step.transform->scan(item->pass, item->chunk, pool_);
          break;
        case SourceItem::Kind::kRows:
          apply(step, *item);
          break;
        case SourceItem::Kind::kEnd:
          finish(step);
          break;
      }
    }
  }

  void apply(const Step& step, const SourceItem& item) {
    const auto progress = static_cast<int64_t>(item.chunk.bytes.size());
    if (!step.transform) {
      emit({item.storage, item.chunk.bytes, progress});
      return;
    }
    Bytes out = output_pool_.scratch();
    step.transform->apply(item.chunk, out, pool_);
    emit_own(std::move(out), progress);
  }

  void finish(const Step& step) {
    if (step.transform) {
      Bytes out;
      step.transform->finish(out);
      emit_own(std::move(out), 0);
    }
    int64_t promised = 0;
    for (const TensorInfo& tensor : step.outputs) promised += tensor.bytes();
    CHECK(written_ == promised);
  }

  void emit_own(Bytes out, int64_t progress) {
    const std::shared_ptr<Bytes> storage = output_pool_.adopt(std::move(out));
    if (!storage) throw Stopped();
    emit({storage, *storage, progress});
  }

  void emit(OutputItem item) {
    written_ += static_cast<int64_t>(item.bytes.size());
    outputs_.push(std::move(item));
  }

  void write() {
    Progress progress(options_.label, reader_.header().total_bytes());
    while (auto item = outputs_.pop()) {
      if (!item->bytes.empty()) writer_.write(item->bytes);
      progress.advance(item->progress);
    }
  }

  CheckpointReader& reader_;
  CheckpointWriter& writer_;
  const StagePlan& plan_;
  const PipelineOptions& options_;
  ThreadPool pool_;
  BufferPool input_pool_{kInputBytes};
  BufferPool output_pool_{kOutputBytes};
  Queue<SourceItem> inputs_;
  Queue<OutputItem> outputs_;
  FirstError error_;
  int64_t written_ = 0;  // bytes of the current step's outputs
};

int64_t side_file_bytes(const CheckpointHeader& header) {
  int64_t bytes = 0;
  for (const auto& [path, content] : header.files) bytes += static_cast<int64_t>(content.size());
  return bytes;
}

}  // namespace

StagePlan plan_stage(const CheckpointHeader& input, std::vector<Step> steps) {
  StagePlan plan;
  plan.header.files = input.files;
  plan.header.history = input.history;
  plan.header.history.push_back(history_line());
  std::set<std::string> names;
  for (const Step& step : steps) {
    for (const TensorInfo& tensor : step.outputs) {
      names.insert(tensor.name);
      plan.header.tensors.push_back(tensor);
    }
  }
  for (const auto& [alias, stored] : input.aliases) {
    if (names.count(stored) > 0) plan.header.aliases[alias] = stored;
  }
  plan.steps = std::move(steps);
  return plan;
}

Step copy_step(const CheckpointHeader& input, int64_t index) {
  Step step;
  step.input = index;
  step.outputs = {input.tensors[static_cast<size_t>(index)]};
  return step;
}

void run_pipeline(CheckpointReader& reader, CheckpointWriter& writer, const StagePlan& plan,
                  const PipelineOptions& options) {
  Pipeline(reader, writer, plan, options).run();
}

int64_t pipeline_memory(const CheckpointHeader& input, const StagePlan& plan, bool random_access) {
  constexpr int64_t kProgram = 32 << 20;  // code, libraries, threads and what they decode
  int64_t largest_held = 0;
  int64_t largest_kept = 0;
  for (const Step& step : plan.steps) {
    const TensorInfo& tensor = input.tensors[static_cast<size_t>(step.input)];
    const int64_t bytes = tensor.bytes();
    if (holds_whole(step, bytes, random_access)) {
      // A transform of whole tensors works on a float copy of it.
      const bool decoded = step.transform->whole();
      largest_held = std::max(largest_held, bytes + (decoded ? tensor.elements() * 4 : 0));
    }
    int64_t kept = 0;
    for (int64_t side : step.sides) kept += input.tensors[static_cast<size_t>(side)].bytes();
    for (size_t i = 1; i < step.outputs.size(); ++i) kept += step.outputs[i].bytes();
    largest_kept = std::max(largest_kept, kept);
  }
  const int64_t buffers =
      std::min(kInputBytes + kOutputBytes + kIdleBytes, 3 * input.total_bytes());
  return kProgram + buffers + std::max<int64_t>(largest_held - kInputBytes, 0) + largest_kept +
         3 * side_file_bytes(input);
}

void scan_tensor(CheckpointReader& reader, int64_t tensor, int64_t row_multiple,
                 const std::function<void(const Chunk&)>& visit) {
  const TensorInfo& info = reader.header().tensors[static_cast<size_t>(tensor)];
  const int64_t row = row_bytes(info.type, info.columns());
  const int64_t rows = std::max<int64_t>(kChunkBytes / std::max<int64_t>(row, 1), 1);
  const int64_t step = std::max(rows / row_multiple * row_multiple, row_multiple);
  Bytes bytes;
  for (int64_t first = 0; first < info.rows(); first += step) {
    const int64_t count = std::min(step, info.rows() - first);
    bytes.resize(static_cast<size_t>(count * row));
    reader.read_at(tensor, first * row, bytes);
    release_mapped(reader, tensor, first * row, count * row);
    visit({first, count, bytes});
  }
}

}  // namespace hone
