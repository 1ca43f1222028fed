#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"
#include "libcommon/io/extent_reader.h"
#include "libcommon/io/gguf_header.h"

namespace hone {
namespace {

class GgufFileReader final : public GgufReader {
 public:
  explicit GgufFileReader(std::unique_ptr<ByteSource> source) {
    subject_ = source->subject();
    gguf::Header header = gguf::read_header(*source);
    for (size_t i = 0; i < header.tensors.size(); ++i) {
      extents_.push_back({"tensor " + quote_name(header.tensors[i].name), 0,
                          header.data_start + header.offsets[i],
                          static_cast<uint64_t>(header.tensors[i].bytes())});
    }
    padded_end_ = header.data_start + gguf::align_up(header.data_bytes(), header.alignment);
    header_.tensors = std::move(header.tensors);
    keys_ = std::move(header.keys);
    data_.add_source(std::move(source));
  }

  const GgufKeys& keys() const override { return keys_; }

  bool next() override {
    if (finished_) return false;
    if (++index_ < static_cast<int64_t>(extents_.size())) {
      data_.enter(extents_[static_cast<size_t>(index_)]);
      return true;
    }
    finish();
    return false;
  }

  void read(std::span<std::byte> out) override { data_.read(out); }
  bool random_access() const override { return data_.mapped(); }
  void read_at(int64_t tensor, int64_t offset, std::span<std::byte> out) override {
    data_.read_at(extents_[static_cast<size_t>(tensor)], offset, out);
  }
  const std::byte* mapped(int64_t tensor) const override {
    return data_.map(extents_[static_cast<size_t>(tensor)]);
  }

 private:
  void finish() {
    finished_ = true;
    data_.leave();
    ByteSource& source = data_.source(0);
    if (source.position() < padded_end_) source.skip(padded_end_ - source.position());
    data_.check_end("the last tensor");
  }

  GgufKeys keys_;
  ExtentReader data_;
  std::vector<Extent> extents_;
  uint64_t padded_end_ = 0;  // some writers leave out the last padding
  bool finished_ = false;
};

}  // namespace

std::unique_ptr<GgufReader> open_gguf(const std::string& where) {
  return std::make_unique<GgufFileReader>(open_source(where));
}

}  // namespace hone
