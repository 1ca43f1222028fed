#include "libcommon/model/gguf_source.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "kernels/check.h"
#include "kernels/codec/codec.h"
#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"
#include "libcommon/model/config.h"
#include "libcommon/model/gguf_config.h"
#include "libcommon/model/gguf_map.h"
#include "libcommon/model/gguf_rope.h"
#include "libcommon/model/names.h"
#include "libcommon/model/ordered_reader.h"

namespace hone {
namespace {

constexpr size_t kCompareChunk = size_t{1} << 20;

// A tensor of the result and what makes it.
struct MappedTensor {
  int64_t inner = -1;  // index below
  RowMove move;
  bool turn = false;
};

class GgufModelReader : public CheckpointReader {
 public:
  GgufModelReader(std::unique_ptr<CheckpointReader> inner, CheckpointHeader header,
                  std::vector<MappedTensor> map)
      : inner_(std::move(inner)), map_(std::move(map)) {
    header_ = std::move(header);
    subject_ = inner_->subject();
  }

  bool next() override {
    if (index_ == static_cast<int64_t>(map_.size())) return false;
    ++index_;
    position_ = 0;
    buffer_.clear();
    buffer_.shrink_to_fit();
    if (index_ < static_cast<int64_t>(map_.size())) {
      while (inner_->current_index() < map_[static_cast<size_t>(index_)].inner) {
        CHECK(inner_->next());
      }
      return true;
    }
    while (inner_->next()) {
    }
    return false;
  }

  void read(std::span<std::byte> out) override {
    const MappedTensor& tensor = map_[static_cast<size_t>(index_)];
    const bool same = is_same(tensor);
    if (same && !random_access()) return inner_->read(out);
    if (same) {
      inner_->read_at(tensor.inner, position_, out);
    } else {
      fill(index_, position_, out);
    }
    position_ += static_cast<int64_t>(out.size());
  }

  bool random_access() const override { return inner_->random_access(); }

  void read_at(int64_t tensor, int64_t offset, std::span<std::byte> out) override {
    CHECK(random_access());
    const MappedTensor& mapped = map_[static_cast<size_t>(tensor)];
    if (is_same(mapped)) return inner_->read_at(mapped.inner, offset, out);
    fill(tensor, offset, out);
  }

  const std::byte* mapped(int64_t tensor) const override {
    const MappedTensor& mapped = map_[static_cast<size_t>(tensor)];
    return is_same(mapped) ? inner_->mapped(mapped.inner) : nullptr;
  }

  Json trailer() const override { return inner_->trailer(); }

 private:
  static bool is_same(const MappedTensor& tensor) {
    return !tensor.turn && tensor.move.order == RowOrder::kSame;
  }

  // The stored tensor: mapped, or from a pipe in memory until the next tensor.
  const std::byte* stored(const MappedTensor& tensor) {
    if (const std::byte* bytes = inner_->mapped(tensor.inner)) return bytes;
    CHECK(inner_->current_index() == tensor.inner);
    if (buffer_.empty()) {
      buffer_.resize(static_cast<size_t>(inner_->current().bytes()));
      inner_->read(buffer_);
    }
    return buffer_.data();
  }

  // Any range of the result, a row at a time.
  void fill(int64_t index, int64_t offset, std::span<std::byte> out) {
    const MappedTensor& tensor = map_[static_cast<size_t>(index)];
    const TensorInfo& info = header_.tensors[static_cast<size_t>(index)];
    const auto size = static_cast<int64_t>(out.size());
    CHECK(offset >= 0 && size <= info.bytes() && offset <= info.bytes() - size);
    if (out.empty()) return;
    if (tensor.turn) return fill_turned(tensor, info, offset, out);
    const std::byte* from = stored(tensor);
    const int64_t width = info.bytes() / tensor.move.rows;
    for (int64_t done = 0; done < size;) {
      const int64_t row = (offset + done) / width;
      const int64_t in_row = (offset + done) % width;
      const int64_t count = std::min(width - in_row, size - done);
      std::memcpy(out.data() + done, from + source_row(tensor.move, row) * width + in_row,
                  static_cast<size_t>(count));
      done += count;
    }
  }

  void fill_turned(const MappedTensor& tensor, const TensorInfo& info, int64_t offset,
                   std::span<std::byte> out) {
    const int64_t element = row_bytes(info.type, 1);
    const Turn turn{stored(tensor), info.columns(), info.rows(), element};
    const int64_t width = info.columns() * element;
    std::vector<std::byte> edge;
    for (int64_t done = 0; done < static_cast<int64_t>(out.size());) {
      const int64_t row = (offset + done) / width;
      const int64_t in_row = (offset + done) % width;
      const int64_t left = static_cast<int64_t>(out.size()) - done;
      if (in_row == 0 && left >= width) {  // many rows in one pass over the source
        turn_rows(turn, row, left / width, out.data() + done);
        done += left / width * width;
        continue;
      }
      edge.resize(static_cast<size_t>(width));
      turn_rows(turn, row, 1, edge.data());
      const int64_t count = std::min(width - in_row, left);
      std::memcpy(out.data() + done, edge.data() + in_row, static_cast<size_t>(count));
      done += count;
    }
  }

  std::unique_ptr<CheckpointReader> inner_;
  std::vector<MappedTensor> map_;
  std::vector<std::byte> buffer_;
  int64_t position_ = 0;  // in the current tensor
};

using TensorTable = std::unordered_map<std::string, const TensorInfo*>;

TensorTable table_of(const CheckpointHeader& header) {
  TensorTable table;
  for (const TensorInfo& tensor : header.tensors) table[tensor.name] = &tensor;
  return table;
}

int64_t index_of(const CheckpointHeader& header, std::string_view name) {
  for (size_t i = 0; i < header.tensors.size(); ++i) {
    if (header.tensors[i].name == name) return static_cast<int64_t>(i);
  }
  return -1;
}

// Whether two tensors hold the same bytes.
bool same_bytes(CheckpointReader& reader, int64_t a, int64_t b) {
  const auto& tensors = reader.header().tensors;
  const TensorInfo& first = tensors[static_cast<size_t>(a)];
  const TensorInfo& second = tensors[static_cast<size_t>(b)];
  if (first.type != second.type || first.shape != second.shape) return false;
  std::vector<std::byte> left(kCompareChunk), right(kCompareChunk);
  for (int64_t at = 0; at < first.bytes(); at += static_cast<int64_t>(kCompareChunk)) {
    const auto count =
        static_cast<size_t>(std::min(first.bytes() - at, static_cast<int64_t>(kCompareChunk)));
    reader.read_at(a, at, std::span(left).first(count));
    reader.read_at(b, at, std::span(right).first(count));
    if (std::memcmp(left.data(), right.data(), count) != 0) return false;
  }
  return true;
}

class Opener {
 public:
  Opener(std::unique_ptr<CheckpointReader> reader, const GgufKeys& keys)
      : reader_(std::move(reader)),
        keys_(keys),
        subject_(reader_->subject()),
        architecture_(&gguf_architecture(keys, subject_)) {}

  std::unique_ptr<CheckpointReader> open() {
    spool_if_needed();
    const TensorTable tensors = table_of(reader_->header());
    const bool tied = is_tied();
    Json config = config_from_gguf({keys_, tensors, subject_, tied}, *architecture_);
    add_rope_divisors(config);
    CheckpointHeader header;
    read_tokenizer_keys(keys_, subject_, header);
    header.files["config.json"] = config.dump(2) + "\n";
    spec_ = spec_from_config(config, {}, subject_);
    check_feed_forward();
    std::vector<MappedTensor> map;
    for (size_t i = 0; i < reader_->header().tensors.size(); ++i) {
      add(static_cast<int64_t>(i), tied, header, map);
    }
    return std::make_unique<GgufModelReader>(std::move(reader_), std::move(header), std::move(map));
  }

 private:
  // The config depends on the data of these tensors, and must be known before all data.
  void spool_if_needed() {
    if (reader_->random_access()) return;
    const bool divisors = index_of(reader_->header(), kGgufRopeDivisors) >= 0;
    const bool repeated =
        architecture_->gguf_writes_head && index_of(reader_->header(), kGgufHead) >= 0;
    if (divisors || repeated) reader_ = spool(std::move(reader_));
  }

  // A head that repeats the embedding byte for byte is no head of its own. On a pipe it is taken to
  // be one, but for architectures whose files always repeat it (spooled above).
  bool is_tied() {
    const int64_t head = index_of(reader_->header(), kGgufHead);
    if (head < 0) return true;
    const int64_t embedding = index_of(reader_->header(), kGgufEmbedding);
    return embedding >= 0 && reader_->random_access() && same_bytes(*reader_, head, embedding);
  }

  void add_rope_divisors(Json& config) {
    const int64_t index = index_of(reader_->header(), kGgufRopeDivisors);
    if (index < 0) return;
    const TensorInfo& tensor = reader_->header().tensors[static_cast<size_t>(index)];
    const ModelSpec spec = spec_from_config(config, {}, subject_);
    if (tensor.type != DType::kF32 || tensor.elements() != spec.rope.rotary / 2) {
      throw Error(subject_ + ": tensor 'rope_freqs.weight' does not fit the model's heads");
    }
    std::vector<float> divisors(static_cast<size_t>(tensor.elements()));
    reader_->read_at(index, 0, std::as_writable_bytes(std::span(divisors)));
    const auto rope = rope_from_divisors(divisors, spec.rope);
    if (!rope || spec.rope.scaling != RopeScaling::kNone) {
      throw Error(subject_ +
                  ": tensor 'rope_freqs.weight' is no llama3 scaling; others are not implemented");
    }
    if (rope->scaling == RopeScaling::kLlama3) config["rope_scaling"] = llama3_scaling(*rope);
  }

  // Architectures that fix the width have no key for it in config.json.
  void check_feed_forward() const {
    const std::string key = std::string(architecture_->gguf) + ".feed_forward_length";
    if (!keys_.find(key)) return;
    const int64_t width = keys_.integer(key, subject_);
    if (width == spec_.layers.front().ffn.dim) return;
    throw Error(subject_ + ": " + key + " " + std::to_string(width) +
                " is not implemented; known: " + std::to_string(spec_.layers.front().ffn.dim));
  }

  void add(int64_t index, bool tied, CheckpointHeader& header, std::vector<MappedTensor>& map) {
    TensorInfo info = reader_->header().tensors[static_cast<size_t>(index)];
    if (info.name == kGgufRopeDivisors || (tied && info.name == kGgufHead)) return;
    const TensorSpec* expected = find(info.name);
    if (!expected) {
      throw Error(subject_ + ": tensor " + quote_name(info.name) + " is unknown to architecture '" +
                  std::string(architecture_->gguf) + "'");
    }
    const GgufLayout layout =
        gguf_layout(*architecture_, spec_, *expected, GgufDirection::kFromGguf);
    MappedTensor mapped{.inner = index};
    mapped.turn = layout.turn && !is_block(info.type);
    const int64_t rows = info.shape.size() == 1 ? info.elements() : info.rows();
    mapped.move = {layout.order, layout.head_dim, rows};
    check_rows(info, mapped.move);
    info.name = expected->name;
    if (mapped.turn) std::reverse(info.shape.begin(), info.shape.end());
    header.tensors.push_back(std::move(info));
    map.push_back(mapped);
  }

  // The order of rows means something only where they are whole heads.
  void check_rows(const TensorInfo& info, const RowMove& move) const {
    if (move.order == RowOrder::kSame) return;
    const bool fused = move.order == RowOrder::kQkvToHeads || move.order == RowOrder::kHeadsToQkv;
    const int64_t unit = fused ? 3 * move.head_dim : move.head_dim;
    if (info.elements() > 0 && move.rows % unit == 0 &&
        !(info.shape.size() == 1 && is_block(info.type)))
      return;
    throw Error(subject_ + ": tensor " + quote_name(info.name) + " has shape " +
                shape_text(info.shape) + ", no whole heads of " + std::to_string(move.head_dim));
  }

  const TensorSpec* find(const std::string& name) {
    if (by_name_.empty()) {
      for (const TensorSpec& tensor : spec_.tensors) by_name_[gguf_name(tensor)] = &tensor;
    }
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second;
  }

  std::unique_ptr<CheckpointReader> reader_;
  const GgufKeys& keys_;
  std::string subject_;
  const Architecture* architecture_;
  ModelSpec spec_;
  std::unordered_map<std::string, const TensorSpec*> by_name_;
};

}  // namespace

std::unique_ptr<CheckpointReader> open_gguf_model(std::unique_ptr<GgufReader> reader) {
  const GgufKeys keys = reader->keys();  // the reader may be replaced by its spooled copy
  return Opener(std::move(reader), keys).open();
}

}  // namespace hone
