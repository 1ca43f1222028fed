#include "libcommon/model/ordered_reader.h"

#include <algorithm>

#include "kernels/check.h"
#include "libcommon/model/names.h"
#include "libcommon/model/spec.h"

namespace hone {
namespace {

// A selection of another reader's tensors, in an order of its own. Without random access below, the
// order must be the one below, with gaps.
class OrderedReader : public CheckpointReader {
 public:
  OrderedReader(std::unique_ptr<CheckpointReader> inner, std::vector<int64_t> order)
      : inner_(std::move(inner)), order_(std::move(order)) {
    header_ = inner_->header();
    subject_ = inner_->subject();
    header_.tensors.clear();
    for (int64_t index : order_) {
      header_.tensors.push_back(inner_->header().tensors[static_cast<size_t>(index)]);
    }
  }

  bool next() override {
    if (index_ == static_cast<int64_t>(order_.size())) return false;
    ++index_;
    position_ = 0;
    if (index_ == static_cast<int64_t>(order_.size())) {
      while (inner_->next()) {
      }
      return false;
    }
    if (random_access()) return true;
    while (inner_->current_index() < inner_index()) CHECK(inner_->next());
    return true;
  }

  void read(std::span<std::byte> out) override {
    if (!random_access()) return inner_->read(out);
    inner_->read_at(inner_index(), position_, out);
    position_ += static_cast<int64_t>(out.size());
  }

  bool random_access() const override { return inner_->random_access(); }

  void read_at(int64_t tensor, int64_t offset, std::span<std::byte> out) override {
    inner_->read_at(order_[static_cast<size_t>(tensor)], offset, out);
  }

  const std::byte* mapped(int64_t tensor) const override {
    return inner_->mapped(order_[static_cast<size_t>(tensor)]);
  }

  Json trailer() const override { return inner_->trailer(); }

 private:
  int64_t inner_index() const { return order_[static_cast<size_t>(index_)]; }

  std::unique_ptr<CheckpointReader> inner_;
  std::vector<int64_t> order_;  // index of each tensor in inner_
  int64_t position_ = 0;        // in the current tensor
};

// Indices of the model's tensors in execution order. The parts of one matrix keep the order in
// which they come: it is right for whoever reads a stream, and no reason to spool one.
std::vector<int64_t> execution_order(const CheckpointHeader& header, const ModelSpec& spec) {
  const ExecutionOrder order(spec);
  std::vector<std::pair<int64_t, int64_t>> ranked;
  for (size_t i = 0; i < header.tensors.size(); ++i) {
    const auto rank = order.rank(header.tensors[i].name);
    if (rank) ranked.push_back({*rank, static_cast<int64_t>(i)});
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<int64_t> indices;
  for (const auto& [rank, index] : ranked) indices.push_back(index);
  return indices;
}

}  // namespace

std::unique_ptr<CheckpointReader> in_execution_order(std::unique_ptr<CheckpointReader> reader) {
  const CheckpointHeader& header = reader->header();
  std::vector<int64_t> order =
      execution_order(header, spec_from_checkpoint(header, reader->subject()));
  const bool in_order = std::is_sorted(order.begin(), order.end());
  if (in_order && order.size() == header.tensors.size()) return reader;
  if (!in_order && !reader->random_access()) reader = spool(std::move(reader));
  return std::make_unique<OrderedReader>(std::move(reader), std::move(order));
}

}  // namespace hone
