#include "libcommon/io/safetensors_reader.h"

#include "kernels/check.h"
#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"
#include "libcommon/io/hone_stream.h"

namespace hone {
namespace {

Extent extent_of(const StoredTensor& tensor, size_t source, uint64_t data_start, const char* kind) {
  return {std::string(kind) + " " + quote_name(tensor.info.name), source, data_start + tensor.begin,
          tensor.end - tensor.begin};
}

}  // namespace

void SafetensorsReader::add_weights(std::vector<StoredTensor> weights, uint64_t data_start) {
  const size_t source = data_.source_count() - 1;
  for (StoredTensor& tensor : weights) {
    weights_.push_back(extent_of(tensor, source, data_start, "tensor"));
    header_.tensors.push_back(std::move(tensor.info));
  }
}

void SafetensorsReader::load_files(const std::vector<StoredTensor>& files, uint64_t data_start) {
  for (const StoredTensor& file : files) {
    const std::string& path = file.info.name;
    stream::check_file(path, file.end - file.begin, subject_);
    data_.enter(extent_of(file, 0, data_start, "file"));
    if (!header_.files.emplace(path, data_.read_text()).second) {
      throw Error(subject_ + ": side file " + quote_name(path) + " is there twice");
    }
  }
}

void SafetensorsReader::open_single(std::unique_ptr<ByteSource> source) {
  const SafetensorsHeader header = read_safetensors_header(*source);
  stream::Contents contents = stream::sort_contents(header, subject_);
  stream::read_metadata(header, header_, subject_);
  data_.add_source(std::move(source));
  if (contents.is_stream) data_.start_hash();
  load_files(contents.files, header.data_start);
  add_weights(std::move(contents.weights), header.data_start);
  for (const StoredTensor& trailer : contents.trailer) {
    trailer_.push_back(extent_of(trailer, 0, header.data_start, "tensor"));
  }
}

SafetensorsHeader SafetensorsReader::add_shard(std::unique_ptr<ByteSource> source) {
  SafetensorsHeader header = read_safetensors_header(*source);
  stream::Contents contents = stream::sort_contents(header, source->subject());
  if (contents.is_stream) {
    throw Error(source->subject() + ": is a hone-stream inside a directory; give the file itself");
  }
  data_.add_source(std::move(source));
  add_weights(std::move(contents.weights), header.data_start);
  return header;
}

bool SafetensorsReader::next() {
  if (finished_) return false;
  if (++index_ < static_cast<int64_t>(weights_.size())) {
    data_.enter(weights_[static_cast<size_t>(index_)]);
    return true;
  }
  finish();
  return false;
}

void SafetensorsReader::finish() {
  finished_ = true;
  if (!trailer_.empty()) {
    data_.enter(trailer_[0]);
    const std::string hash = data_.take_hash();
    statistics_ = stream::check_trailer(data_.read_text(), hash, subject_);
  } else if (!weights_.empty()) {
    data_.leave();
  }
  data_.check_end("the last tensor");
}

void SafetensorsReader::read(std::span<std::byte> out) { data_.read(out); }

void SafetensorsReader::read_at(int64_t tensor, int64_t offset, std::span<std::byte> out) {
  data_.read_at(weights_[static_cast<size_t>(tensor)], offset, out);
}

const std::byte* SafetensorsReader::mapped(int64_t tensor) const {
  return data_.map(weights_[static_cast<size_t>(tensor)]);
}

std::unique_ptr<CheckpointReader> open_safetensors(const std::string& where) {
  std::unique_ptr<ByteSource> source = open_source(where);
  auto reader = std::make_unique<SafetensorsReader>(source->subject());
  reader->open_single(std::move(source));
  return reader;
}

}  // namespace hone
