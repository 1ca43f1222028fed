// A model on its way: header first, then tensors front to back. The one face of every container
// (Hugging Face directory, safetensors file or stream, GGUF through model/, random weights), read
// and written. Data-free stages hold a few rows at a time, whatever the model's size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "libcommon/io/json.h"
#include "libcommon/io/tensor_info.h"

namespace hone {

struct CheckpointHeader {
  // Side files by relative path (config.json, tokenizer.json, ...): exact bytes. The reader refuses
  // absolute paths, "..", NUL. Readers load them before delivering any tensor.
  std::map<std::string, std::string> files;
  // Why the container's own vocabulary, which is no file, makes no tokenizer; "": it does.
  std::string tokenizer_fault;
  // One line per tool that made this model: "hone-prune 0.1.0 --pattern 2:4 ...". No dates.
  std::vector<std::string> history;
  // Weights in the order in which they are delivered; names starting with "hone." never appear.
  std::vector<TensorInfo> tensors;
  // Tensors stored under another's name: alias -> stored name (tied weights).
  std::map<std::string, std::string> aliases;

  int64_t total_bytes() const;
};

// Reading. Usage: while (reader.next()) { ... reader.current() ... reader.read(...) ... }
class CheckpointReader {
 public:
  virtual ~CheckpointReader() = default;

  const CheckpointHeader& header() const { return header_; }
  const std::string& subject() const { return subject_; }  // "model.gguf", "(stdin)": for errors

  // Moves to the next tensor, skipping what was not read of the current one. After the last it
  // checks the end (no trailing bytes; a hone-stream's trailer hash) and returns false.
  virtual bool next() = 0;
  const TensorInfo& current() const { return header_.tensors[static_cast<size_t>(index_)]; }
  int64_t current_index() const { return index_; }

  // The next bytes of the current tensor; exactly out.size() or an Error (truncated: exit 3).
  virtual void read(std::span<std::byte> out) = 0;

  // Random access, where the source is a regular file or is computed; independent of the cursor,
  // and from several threads at once.
  virtual bool random_access() const = 0;
  virtual void read_at(int64_t tensor, int64_t offset, std::span<std::byte> out) = 0;
  // The tensor's bytes in a mapped file, valid while the reader lives; null where not mapped.
  virtual const std::byte* mapped(int64_t tensor) const = 0;

  // Statistics from a hone-stream's trailer, null before the end or where there is none.
  virtual Json trailer() const { return nullptr; }

 protected:
  CheckpointHeader header_;
  std::string subject_;
  int64_t index_ = -1;
};

// Writing. begin() fixes all names, types and shapes; write() delivers the bytes of all tensors,
// front to back; finish() makes the result visible (fsync, rename; for a pipe: trailer and flush).
// A writer destroyed without finish() leaves nothing behind.
class CheckpointWriter {
 public:
  virtual ~CheckpointWriter() = default;
  virtual void begin(const CheckpointHeader& header) = 0;
  virtual void write(std::span<const std::byte> bytes) = 0;
  virtual void finish(const Json& statistics) = 0;

  // True for hone-streams and bundles (2:4 and GGUF block types may stay packed); false for sinks
  // that other programs load (Hugging Face directory, GGUF).
  virtual bool is_stream() const = 0;
};

// ---- Containers of this folder.

// A .safetensors file or stream. where: a path, or "-" for stdin. Regular files are mapped, pipes
// are read once, from what detect_container() has looked at on.
std::unique_ptr<CheckpointReader> open_safetensors(const std::string& where);

// A Hugging Face directory: model.safetensors, or shards with model.safetensors.index.json, plus
// side files. All weights mapped.
std::unique_ptr<CheckpointReader> open_directory(const std::string& path);

struct SinkOptions {
  int64_t shard_bytes = 5'000'000'000;  // Hugging Face directory: --shard-size
  bool force_terminal = false;          // write binary to a terminal all the same
};

// hone-stream 1 to stdout ("-"), to a .safetensors bundle, or /dev/null.
std::unique_ptr<CheckpointWriter> create_stream(const std::string& where, const SinkOptions&);

// Hugging Face directory, which appears whole. An existing one is replaced, in one step, where it
// is empty or holds a model and nothing else; otherwise Error (exit 4): no file of a user is lost.
std::unique_ptr<CheckpointWriter> create_directory(const std::string& path, const SinkOptions&);

// What a path or pipe holds, by content: looked at without consuming (a pipe is peeked).
enum class Container { kDirectory, kSafetensors, kGguf };
Container detect_container(const std::string& where);

}  // namespace hone
