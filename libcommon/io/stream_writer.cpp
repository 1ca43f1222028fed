// Writes "hone-stream 1" (hone_stream.h) to stdout, a device, or a .safetensors file.
#include "kernels/check.h"
#include "libcommon/base/hash.h"
#include "libcommon/io/byte_sink.h"
#include "libcommon/io/checkpoint.h"
#include "libcommon/io/hone_stream.h"
#include "libcommon/io/tensor_splitter.h"

namespace hone {
namespace {

class StreamWriter final : public CheckpointWriter {
 public:
  StreamWriter(const std::string& where, const SinkOptions& options) : sink_(where, options) {}

  void begin(const CheckpointHeader& header) override;
  void write(std::span<const std::byte> bytes) override;
  void finish(const Json& statistics) override;
  bool is_stream() const override { return true; }

 private:
  void put(std::span<const std::byte> bytes) {
    hash_.update(bytes);
    sink_.write(bytes);
  }
  void put_filler();
  void put_files(const CheckpointHeader& header);

  ByteSink sink_;
  Hash128 hash_;
  TensorSplitter splitter_;
  uint64_t data_start_ = 0;
};

void StreamWriter::begin(const CheckpointHeader& header) {
  for (const TensorInfo& tensor : header.tensors) validate_tensor(tensor, sink_.subject());
  for (const auto& [path, content] : header.files) {
    stream::check_file(path, content.size(), sink_.subject());
  }
  const SafetensorsHeader layout = stream::plan(header);
  const std::string text = format_safetensors_header(layout, sink_.subject());
  data_start_ = text.size();
  sink_.reserve(data_start_ + layout.data_bytes());
  sink_.write(text);
  put_files(header);
  splitter_ = TensorSplitter(header.tensors);
  write({});
  sink_.flush();
}

// plan() put a filler wherever the data so far does not end at a multiple of 64.
void StreamWriter::put_filler() {
  static constexpr std::byte kZeros[stream::kAlignment] = {};
  const uint64_t rest = (sink_.written() - data_start_) % stream::kAlignment;
  if (rest != 0) put(std::span(kZeros).first(stream::kAlignment - rest));
}

void StreamWriter::put_files(const CheckpointHeader& header) {
  for (const auto& [path, content] : header.files) {
    if (stream::travels_as_text(content)) continue;
    put(std::as_bytes(std::span(content)));
    put_filler();
  }
}

void StreamWriter::write(std::span<const std::byte> bytes) {
  splitter_.feed(
      bytes, [&](std::span<const std::byte> part) { put(part); }, [&](size_t) { put_filler(); });
}

void StreamWriter::finish(const Json& statistics) {
  CHECK(splitter_.complete());
  sink_.write(stream::format_trailer(hash_.hex(), statistics));
  sink_.finish();
}

}  // namespace

std::unique_ptr<CheckpointWriter> create_stream(const std::string& where,
                                                const SinkOptions& options) {
  return std::make_unique<StreamWriter>(where, options);
}

}  // namespace hone
