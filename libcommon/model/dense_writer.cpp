#include "libcommon/model/dense_writer.h"

#include <algorithm>
#include <cstring>

#include "kernels/check.h"
#include "kernels/codec/codec.h"
#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"
#include "libcommon/io/tensor_splitter.h"
#include "libcommon/model/weights.h"

namespace hone {
namespace {

// One 2:4 matrix: where its parts are in the incoming header.
struct SparsePair {
  StoredWeight weight;
  std::vector<std::byte> payload;
  std::vector<std::byte> index;
};

// Kept elements of `element` bytes back to their places; the others are zero bytes. False where a
// nibble does not name two ascending positions.
bool expand_row(const std::byte* kept, const std::byte* index, const WeightView& view,
                int64_t element, std::byte* dense) {
  std::memset(dense, 0, static_cast<size_t>(view.columns * element));
  for (int64_t quad = 0; quad < view.columns / 4; ++quad) {
    const auto pair = static_cast<unsigned>(index[quad / 2]) >> (quad % 2 * 4);
    const int64_t first = pair & 3;
    const int64_t second = pair >> 2 & 3;
    if (first >= second) return false;
    const auto size = static_cast<size_t>(element);
    std::memcpy(dense + (4 * quad + first) * element, kept + 2 * quad * element, size);
    std::memcpy(dense + (4 * quad + second) * element, kept + (2 * quad + 1) * element, size);
  }
  return true;
}

class DenseWriter : public CheckpointWriter {
 public:
  DenseWriter(std::unique_ptr<CheckpointWriter> inner, std::string subject)
      : inner_(std::move(inner)), subject_(std::move(subject)) {}

  bool is_stream() const override { return inner_->is_stream(); }

  void begin(const CheckpointHeader& header) override {
    pair_of_.assign(header.tensors.size(), -1);
    for (StoredWeight& weight : stored_weights(header, subject_)) {
      if (weight.index >= 0) add_pair(std::move(weight));
    }
    splitter_ = TensorSplitter(header.tensors);
    inner_->begin(dense_header(header));
    write({});
  }

  void write(std::span<const std::byte> bytes) override {
    splitter_.feed(
        bytes, [&](std::span<const std::byte> part) { take(part); },
        [&](size_t tensor) { end(static_cast<int64_t>(tensor)); });
  }

  void finish(const Json& statistics) override { inner_->finish(statistics); }

 private:
  void add_pair(StoredWeight weight) {
    const WeightView& view = weight.view;
    if (is_block(view.type) || weight.zero_point >= 0) {
      throw Error(subject_ + ": tensor " + quote_name(weight.name) +
                  " is packed 2:4 in a form that has no dense equal (" +
                  (is_block(view.type) ? std::string(name(view.type)) : "zero points") +
                  "); write a hone-stream, or use a symmetric --scheme");
    }
    const auto number = static_cast<int64_t>(pairs_.size());
    pair_of_[static_cast<size_t>(weight.payload)] = number;
    pair_of_[static_cast<size_t>(weight.index)] = number;
    pairs_.push_back({std::move(weight), {}, {}});
  }

  static int64_t last_part(const SparsePair& pair) {
    return std::max(pair.weight.payload, pair.weight.index);
  }

  CheckpointHeader dense_header(const CheckpointHeader& header) const {
    CheckpointHeader dense = header;
    dense.tensors.clear();
    for (size_t i = 0; i < header.tensors.size(); ++i) {
      if (pair_of_[i] < 0) {
        dense.tensors.push_back(header.tensors[i]);
        continue;
      }
      const SparsePair& pair = pairs_[static_cast<size_t>(pair_of_[i])];
      if (last_part(pair) != static_cast<int64_t>(i)) continue;
      TensorInfo info = header.tensors[static_cast<size_t>(pair.weight.payload)];
      info.shape = {pair.weight.view.rows, pair.weight.view.packed_bits == 0
                                               ? pair.weight.view.columns
                                               : dense_row_bytes(pair.weight.view) / 4};
      dense.tensors.push_back(std::move(info));
    }
    return dense;
  }

  static int64_t dense_row_bytes(const WeightView& view) {
    return view.packed_bits == 0 ? row_bytes(view.type, view.columns)
                                 : packed_row_bytes(view.columns, view.packed_bits);
  }

  void take(std::span<const std::byte> part) {
    const int64_t number = pair_of_[static_cast<size_t>(current_)];
    if (number < 0) return inner_->write(part);
    SparsePair& pair = pairs_[static_cast<size_t>(number)];
    auto& buffer = current_ == pair.weight.payload ? pair.payload : pair.index;
    buffer.insert(buffer.end(), part.begin(), part.end());
  }

  void end(int64_t tensor) {
    current_ = tensor + 1;
    const int64_t number = pair_of_[static_cast<size_t>(tensor)];
    if (number < 0) return;
    SparsePair& pair = pairs_[static_cast<size_t>(number)];
    if (last_part(pair) != tensor) return;
    write_dense(pair);
    pair.payload = {};
    pair.index = {};
  }

  void write_dense(const SparsePair& pair) {
    const WeightView& view = pair.weight.view;
    const int64_t kept_bytes = view.row_stride;
    const bool packed = view.packed_bits != 0;
    std::vector<std::byte> row(static_cast<size_t>(dense_row_bytes(view)));
    std::vector<std::byte> kept(static_cast<size_t>(view.columns / 2));
    std::vector<std::byte> dense(static_cast<size_t>(view.columns));
    for (int64_t r = 0; r < view.rows; ++r) {
      const std::byte* payload = pair.payload.data() + r * kept_bytes;
      const std::byte* index = pair.index.data() + r * (view.columns / 8);
      bool good;
      if (packed) {
        unpack_row(payload, view.columns / 2, view.packed_bits,
                   reinterpret_cast<int8_t*>(kept.data()));
        good = expand_row(kept.data(), index, view, 1, dense.data());
        pack_row(reinterpret_cast<const int8_t*>(dense.data()), view.columns, view.packed_bits,
                 row.data());
      } else {
        good = expand_row(payload, index, view, row_bytes(view.type, 1), row.data());
      }
      if (!good) {
        throw Error(subject_ + ": tensor " + quote_name(pair.weight.name) +
                    ": weight_index names positions that do not ascend; damaged stream?");
      }
      inner_->write(row);
    }
  }

  std::unique_ptr<CheckpointWriter> inner_;
  std::string subject_;
  std::vector<SparsePair> pairs_;
  std::vector<int64_t> pair_of_;  // of each incoming tensor: its pair, or -1
  TensorSplitter splitter_;
  int64_t current_ = 0;
};

}  // namespace

std::unique_ptr<CheckpointWriter> expand_sparse(std::unique_ptr<CheckpointWriter> writer,
                                                std::string subject) {
  return std::make_unique<DenseWriter>(std::move(writer), std::move(subject));
}

}  // namespace hone
