#include "libcommon/compress/step_source.h"

#include <algorithm>

#include "kernels/check.h"
#include "libcommon/base/error.h"
#include "libcommon/compress/mapping.h"

namespace hone {
namespace {

// Rows of one chunk: about kChunkBytes, a multiple of what the transform asks for.
int64_t chunk_rows(const TensorInfo& tensor, const Transform* transform) {
  const int64_t row = std::max<int64_t>(row_bytes(tensor.type, tensor.columns()), 1);
  const int64_t multiple = transform ? transform->row_multiple() : 1;
  const int64_t rows = std::max<int64_t>(kChunkBytes / row, 1);
  return std::max(rows / multiple * multiple, multiple);
}

class StepReader {
 public:
  StepReader(CheckpointReader& reader, BufferPool& pool,
             const std::function<void(SourceItem)>& emit)
      : reader_(reader), pool_(pool), emit_(emit) {}

  // False when the pool was closed.
  bool read(const Step& step, size_t number) {
    step_ = &step;
    number_ = number;
    sides_ = std::make_shared<SideTensors>();
    const TensorInfo& tensor = info(step.input);
    const bool whole = holds_whole(step, tensor.bytes(), reader_.random_access());
    if (reader_.random_access()) read_sides_at();
    advance_to(step.input);
    std::shared_ptr<Bytes> held;
    if (whole) {
      held = pool_.take(tensor.bytes());
      if (!held) return false;
      reader_.read(*held);
      release_mapped(reader_, step.input, 0, tensor.bytes());
    }
    if (!reader_.random_access()) advance_over_sides();
    emit_(item(SourceItem::Kind::kStart));
    const int scans = step.transform ? step.transform->scans() : 0;
    for (int pass = 0; pass <= scans; ++pass) {
      if (!emit_rows(pass, scans, held)) return false;
    }
    emit_(item(SourceItem::Kind::kEnd));
    return true;
  }

 private:
  const TensorInfo& info(int64_t tensor) const {
    return reader_.header().tensors[static_cast<size_t>(tensor)];
  }

  SourceItem item(SourceItem::Kind kind) {
    SourceItem result;
    result.kind = kind;
    result.step = number_;
    if (kind == SourceItem::Kind::kStart) result.sides = sides_;
    return result;
  }

  void read_sides_at() {
    for (int64_t side : step_->sides) {
      Bytes& bytes = (*sides_)[side];
      bytes.resize(static_cast<size_t>(info(side).bytes()));
      reader_.read_at(side, 0, bytes);
    }
  }

  // Moves the cursor; a side that passes on the way is kept.
  void advance_to(int64_t tensor) {
    if (reader_.current_index() >= tensor) {
      throw Error(reader_.subject() + ": the parts of '" + info(step_->input).name +
                  "' do not lie side by side; write the model to a file first");
    }
    while (reader_.current_index() < tensor) {
      CHECK(reader_.next());
      keep_if_side();
    }
  }

  void keep_if_side() {
    const int64_t at = reader_.current_index();
    const auto& sides = step_->sides;
    if (reader_.random_access() || std::find(sides.begin(), sides.end(), at) == sides.end()) return;
    Bytes& bytes = (*sides_)[at];
    bytes.resize(static_cast<size_t>(info(at).bytes()));
    reader_.read(bytes);
  }

  void advance_over_sides() {
    for (int64_t side : step_->sides) {
      if (side > reader_.current_index()) advance_to(side);
    }
  }

  bool emit_rows(int pass, int scans, const std::shared_ptr<Bytes>& held) {
    const TensorInfo& tensor = info(step_->input);
    const int64_t row = row_bytes(tensor.type, tensor.columns());
    const bool one = step_->transform && step_->transform->whole();
    const int64_t step_rows = one ? tensor.rows() : chunk_rows(tensor, step_->transform.get());
    for (int64_t first = 0; first < tensor.rows(); first += step_rows) {
      SourceItem next = item(pass < scans ? SourceItem::Kind::kScan : SourceItem::Kind::kRows);
      next.pass = pass;
      next.chunk.first = first;
      next.chunk.count = std::min(step_rows, tensor.rows() - first);
      if (!fill(next, held, first * row, next.chunk.count * row, pass < scans)) return false;
      emit_(std::move(next));
    }
    return true;
  }

  bool fill(SourceItem& next, const std::shared_ptr<Bytes>& held, int64_t offset, int64_t bytes,
            bool scanning) {
    if (held) {
      next.storage = held;
      next.chunk.bytes = std::span<const std::byte>(*held).subspan(static_cast<size_t>(offset),
                                                                   static_cast<size_t>(bytes));
      return true;
    }
    next.storage = pool_.take(bytes);
    if (!next.storage) return false;
    if (scanning) {
      reader_.read_at(step_->input, offset, *next.storage);
    } else {
      reader_.read(*next.storage);
    }
    release_mapped(reader_, step_->input, offset, bytes);
    next.chunk.bytes = *next.storage;
    return true;
  }

  CheckpointReader& reader_;
  BufferPool& pool_;
  const std::function<void(SourceItem)>& emit_;
  const Step* step_ = nullptr;
  size_t number_ = 0;
  std::shared_ptr<SideTensors> sides_;
};

}  // namespace

bool holds_whole(const Step& step, int64_t bytes, bool random_access) {
  if (!step.transform) return false;
  if (step.transform->whole()) return true;
  if (!random_access && !step.sides.empty()) return true;
  return step.transform->scans() > 0 && (!random_access || bytes <= kWholeBytes);
}

void read_steps(CheckpointReader& reader, const std::vector<Step>& steps, BufferPool& pool,
                const std::function<void(SourceItem)>& emit) {
  StepReader source(reader, pool, emit);
  for (size_t i = 0; i < steps.size(); ++i) {
    if (!source.read(steps[i], i)) return;
  }
  while (reader.next()) {
  }
}

}  // namespace hone
