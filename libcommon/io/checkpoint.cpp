// What a path or pipe holds, by its first bytes; for what is no model, a guess at what it is.
#include "libcommon/io/checkpoint.h"

#include <sys/stat.h>

#include <cstring>

#include "libcommon/base/error.h"
#include "libcommon/io/byte_source.h"
#include "libcommon/io/safetensors_header.h"

namespace hone {
namespace {

struct Impostor {
  std::string_view begins;
  const char* explanation;
};

constexpr Impostor kImpostors[] = {
    {"PK\x03\x04",
     "a zip file, as PyTorch's .bin and .pt are, whose pickles may run code; "
     "convert it to safetensors"},
    {"\x80\x02", "a pickle, which may run code when loaded; convert it to safetensors"},
    {"version https://git-lfs", "a Git LFS pointer in place of the model; run git lfs pull"},
    {"\x1f\x8b", "gzip; decompress it first"},
    {"(\xb5/\xfd", "zstd; decompress it first"},
    {"<", "a web page? was the download refused?"},
    {"{", "JSON; give the model's directory instead of one of its files"},
    {"lmgg", "an old GGML file, from before GGUF"},
    {"tjgg", "an old GGML file, from before GGUF"},
};

[[noreturn]] void refuse(const std::string& where, const std::string& bytes) {
  const std::string subject = where == "-" ? "(stdin)" : where;
  if (bytes.empty()) {
    throw Error(
        subject + ": is empty; " +
        (where == "-" ? "did the program before it in the pipe fail?" : "incomplete download?"));
  }
  for (const Impostor& impostor : kImpostors) {
    if (bytes.starts_with(impostor.begins)) {
      throw Error(subject + ": neither safetensors nor GGUF, but " + impostor.explanation);
    }
  }
  throw Error(subject + ": neither safetensors nor GGUF");
}

bool is_safetensors(const std::string& bytes) {
  uint64_t length;
  if (bytes.size() <= sizeof length) return false;
  std::memcpy(&length, bytes.data(), sizeof length);
  return length <= kMaxHeaderBytes && bytes[sizeof length] == '{';
}

}  // namespace

int64_t CheckpointHeader::total_bytes() const {
  int64_t total = 0;
  for (const TensorInfo& tensor : tensors) total += tensor.bytes();
  return total;
}

Container detect_container(const std::string& where) {
  struct stat status;
  if (where != "-" && stat(where.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
    return Container::kDirectory;
  }
  const std::string bytes = peek_source(where, 32);
  if (bytes.starts_with("GGUF")) return Container::kGguf;
  if (is_safetensors(bytes)) return Container::kSafetensors;
  refuse(where, bytes);
}

}  // namespace hone
