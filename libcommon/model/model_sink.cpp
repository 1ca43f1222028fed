// create_model: one door to every container.
#include <filesystem>

#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"
#include "libcommon/model/dense_writer.h"
#include "libcommon/model/gguf_sink.h"
#include "libcommon/model/model_io.h"

namespace hone {
namespace {

// A Hugging Face directory, which has no block types.
class DirectoryWriter : public CheckpointWriter {
 public:
  DirectoryWriter(std::string path, const SinkOptions& options)
      : path_(std::move(path)), inner_(create_directory(path_, options)) {}

  bool is_stream() const override { return false; }

  void begin(const CheckpointHeader& header) override {
    for (const TensorInfo& tensor : header.tensors) {
      if (!is_block(tensor.type)) continue;
      throw Error(path_ + ": tensor " + quote_name(tensor.name) + " is stored as " +
                  std::string(name(tensor.type)) +
                  ", which a Hugging Face directory has not; use --scheme w8a16 or w4a16, or "
                  "write a .gguf file");
    }
    inner_->begin(header);
  }
  void write(std::span<const std::byte> bytes) override { inner_->write(bytes); }
  void finish(const Json& statistics) override { inner_->finish(statistics); }

 private:
  std::string path_;
  std::unique_ptr<CheckpointWriter> inner_;
};

bool is_directory(const std::string& where) {
  std::error_code ignored;
  return std::filesystem::is_directory(where, ignored);
}

// /dev/null, a named pipe, the shell's >(program).
bool is_device_or_pipe(const std::string& where) {
  std::error_code ignored;
  const std::filesystem::file_status status = std::filesystem::status(where, ignored);
  return exists(status) && !is_regular_file(status) && !is_directory(status);
}

}  // namespace

bool writes_stream(const std::string& where) {
  if (where.ends_with(".safetensors")) return !is_directory(where);
  return where == "-" || (is_device_or_pipe(where) && !where.ends_with(".gguf"));
}

bool writes_directory(const std::string& where) {
  return !writes_stream(where) && (!where.ends_with(".gguf") || is_directory(where));
}

std::unique_ptr<CheckpointWriter> create_model(const std::string& where,
                                               const SinkOptions& options) {
  if (where.empty()) throw usage_error("-o needs a name; - is standard output");
  if (writes_stream(where)) return create_stream(where, options);
  if (writes_directory(where)) {
    return expand_sparse(std::make_unique<DirectoryWriter>(where, options), where);
  }
  return expand_sparse(create_gguf_model(where, options), where);
}

}  // namespace hone
