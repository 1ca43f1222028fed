// Writes a Hugging Face model directory that transformers and vLLM load. The weights have no name
// until the last byte is written (pending_file.h); then a directory DIR.tmp-PID is filled with them
// and the side files, and takes DIR's place in one step. So the model that is read may be the one
// that is replaced, and nothing is left behind by a failure.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "kernels/check.h"
#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/base/utf8.h"
#include "libcommon/io/byte_sink.h"
#include "libcommon/io/checkpoint.h"
#include "libcommon/io/hone_stream.h"
#include "libcommon/io/model_files.h"
#include "libcommon/io/tensor_splitter.h"

namespace hone {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostShards = 500;  // each is an open file until the end; 1024 is the usual limit
constexpr int kAttempts = 100;

struct Shard {
  SafetensorsHeader header;
  size_t last_tensor = 0;
};

// ---- The directory's place

// Symbolic links, ".." and trailing slashes resolved, so that the name beside it is on the same
// file system.
std::string resolve(const std::string& path) {
  std::error_code failed;
  fs::path real = fs::weakly_canonical(path, failed);
  if (failed) throw resource_error(path + ": " + failed.message());
  if (!real.has_filename()) real = real.parent_path();
  return real.string();
}

// An existing directory is deleted in the end: only what a model consists of may be in it.
void check_replaceable(const std::string& path) {
  struct stat status;
  if (lstat(path.c_str(), &status) != 0) return;
  if (!S_ISDIR(status.st_mode)) {
    throw resource_error(path + ": exists and is not a directory");
  }
  const std::vector<std::string> names = list_directory(path);
  if (names.empty()) return;
  if (!std::binary_search(names.begin(), names.end(), kConfigFile)) {
    throw resource_error(path +
                         ": exists and is not a model directory (no config.json); "
                         "it is not replaced");
  }
  for (const std::string& name : names) {
    std::error_code failed;
    const bool ours = is_side_file(name) || name == kIndexFile || name.ends_with(".safetensors");
    if (ours && !fs::is_directory(fs::symlink_status(path + "/" + name, failed))) continue;
    throw resource_error(path + ": holds " + quote_name(name) +
                         ", which is not part of a model and would be lost; "
                         "move it or choose another directory");
  }
}

class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const std::string& target) {
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      path_ = temporary_name(target, attempt);
      if (mkdir(path_.c_str(), 0777) == 0) return;
      if (errno != EEXIST) break;
    }
    throw_errno(target, "cannot create");
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

  // Takes the target's place. What stood there is deleted afterwards, by the destructor, under the
  // temporary name.
  void replace(const std::string& target) {
    if (rename(path_.c_str(), target.c_str()) == 0) {  // nothing or an empty directory was there
      path_.clear();
    } else if (renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) != 0) {
      exchange_in_two_steps(target);
    }
    sync_directory(parent_directory(target));
  }

 private:
  // For file systems without an atomic exchange.
  void exchange_in_two_steps(const std::string& target) {
    const std::string aside = path_ + "-old";
    if (rename(target.c_str(), aside.c_str()) != 0) throw_errno(target, "cannot replace");
    if (rename(path_.c_str(), target.c_str()) != 0) {
      const int reason = errno;
      if (rename(aside.c_str(), target.c_str()) != 0) log_warning("old model is in " + aside);
      errno = reason;
      throw_errno(target, "cannot replace");
    }
    path_ = aside;
  }

  std::string path_;
};

// ---- Which tensor goes where

std::vector<Shard> plan_shards(const CheckpointHeader& header, int64_t shard_bytes) {
  std::vector<Shard> shards(1);
  for (size_t i = 0; i < header.tensors.size(); ++i) {
    const auto bytes = static_cast<uint64_t>(header.tensors[i].bytes());
    const uint64_t held = shards.back().header.data_bytes();
    if (held > 0 && held + bytes > static_cast<uint64_t>(shard_bytes)) shards.emplace_back();
    append_tensor(shards.back().header, header.tensors[i]);
    shards.back().last_tensor = i;
  }
  for (Shard& shard : shards) stream::add_common_metadata(header, shard.header);
  return shards;
}

std::string format_index(const std::vector<Shard>& shards) {
  uint64_t total = 0;
  for (const Shard& shard : shards) total += shard.header.data_bytes();
  std::string json = "{\n  \"metadata\": {\n    \"total_size\": " + std::to_string(total) +
                     "\n  },\n  \"weight_map\": {";
  const char* separator = "\n";
  for (size_t i = 0; i < shards.size(); ++i) {
    for (const StoredTensor& tensor : shards[i].header.tensors) {
      json += separator + std::string("    ") + Json(tensor.info.name).dump() + ": \"" +
              shard_name(i, shards.size()) + "\"";
      separator = ",\n";
    }
  }
  return json + "\n  }\n}\n";
}

// ---- The writer

class DirectoryWriter final : public CheckpointWriter {
 public:
  DirectoryWriter(const std::string& path, const SinkOptions& options)
      : subject_(path), target_(resolve(path)), shard_bytes_(options.shard_bytes) {
    check_replaceable(target_);
  }

  void begin(const CheckpointHeader& header) override;
  void write(std::span<const std::byte> bytes) override;
  void finish(const Json& statistics) override;
  bool is_stream() const override { return false; }

 private:
  void check_tensors(const CheckpointHeader& header) const;
  void start_shard();
  void end_tensor(size_t tensor);
  std::string weights_name(size_t shard) const {
    return shards_.size() == 1 ? kWeightsFile : shard_name(shard, shards_.size());
  }
  void publish_text(const std::string& directory, const std::string& name, const std::string& text);

  std::string subject_;
  std::string target_;
  int64_t shard_bytes_;
  std::map<std::string, std::string> files_;
  std::vector<Shard> shards_;
  std::vector<PendingFile> done_;  // finished shards, not named yet
  std::optional<ByteSink> sink_;   // of the shard being written
  TensorSplitter splitter_;
};

void DirectoryWriter::check_tensors(const CheckpointHeader& header) const {
  for (const TensorInfo& tensor : header.tensors) {
    validate_tensor(tensor, subject_);
    if (!is_block(tensor.type)) continue;
    throw usage_error(subject_ + ": tensor " + quote_name(tensor.name) + " has type " +
                      std::string(name(tensor.type)) +
                      ", which a Hugging Face directory cannot hold; write .gguf or .safetensors");
  }
}

void DirectoryWriter::begin(const CheckpointHeader& header) {
  check_tensors(header);
  for (const auto& [path, content] : header.files) {
    stream::check_file(path, content.size(), subject_);
  }
  files_ = header.files;
  shards_ = plan_shards(header, shard_bytes_);
  if (shards_.size() > kMostShards) {
    throw usage_error(subject_ + ": would take " + std::to_string(shards_.size()) +
                      " shards, at most " + std::to_string(kMostShards) +
                      " are written; choose a larger shard size");
  }
  splitter_ = TensorSplitter(header.tensors);
  start_shard();
  write({});
}

void DirectoryWriter::start_shard() {
  const size_t shard = done_.size();
  const SafetensorsHeader& layout = shards_[shard].header;
  sink_.emplace(PendingFile(parent_directory(target_), subject_ + "/" + weights_name(shard)));
  const std::string text = format_safetensors_header(layout, sink_->subject());
  sink_->reserve(text.size() + layout.data_bytes());
  sink_->write(text);
}

void DirectoryWriter::end_tensor(size_t tensor) {
  const size_t shard = done_.size();
  if (tensor != shards_[shard].last_tensor || shard + 1 == shards_.size()) return;
  done_.push_back(sink_->release());
  start_shard();
}

void DirectoryWriter::write(std::span<const std::byte> bytes) {
  splitter_.feed(
      bytes, [&](std::span<const std::byte> part) { sink_->write(part); },
      [&](size_t tensor) { end_tensor(tensor); });
}

void DirectoryWriter::publish_text(const std::string& directory, const std::string& name,
                                   const std::string& text) {
  const std::string path = directory + "/" + name;
  std::error_code failed;
  fs::create_directories(parent_directory(path), failed);
  if (failed) throw resource_error(subject_ + "/" + name + ": " + failed.message());
  PendingFile file(parent_directory(path), subject_ + "/" + name);
  write_fully(file.fd(), std::as_bytes(std::span(text)), file.subject());
  file.publish(path);
}

void DirectoryWriter::finish(const Json&) {
  CHECK(splitter_.complete());
  done_.push_back(sink_->release());
  TemporaryDirectory directory(target_);
  for (size_t i = 0; i < done_.size(); ++i)
    done_[i].publish(directory.path() + "/" + weights_name(i));
  if (shards_.size() > 1) publish_text(directory.path(), kIndexFile, format_index(shards_));
  for (const auto& [name, text] : files_) publish_text(directory.path(), name, text);
  check_replaceable(target_);  // it may have changed meanwhile
  directory.replace(target_);
}

}  // namespace

std::unique_ptr<CheckpointWriter> create_directory(const std::string& path,
                                                   const SinkOptions& options) {
  return std::make_unique<DirectoryWriter>(path, options);
}

}  // namespace hone
