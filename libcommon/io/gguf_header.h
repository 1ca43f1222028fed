// What stands before the data of a GGUF file: keys and tensor headers.
//
//   "GGUF", u32 version, i64 tensors, i64 keys
//   keys:    string name, i32 type, value          string: u64 length, bytes
//   tensors: string name, u32 dimensions, i64 each (fastest first), i32 type, u64 offset
//   zeros up to a multiple of general.alignment; then the data, each tensor padded to it
#pragma once

#include <vector>

#include "libcommon/io/byte_source.h"
#include "libcommon/io/gguf_types.h"

namespace hone::gguf {

struct Header {
  GgufKeys keys;
  uint64_t alignment = kDefaultAlignment;
  std::vector<TensorInfo> tensors;  // torch order of dimensions
  std::vector<uint64_t> offsets;    // in the data: the running sum of padded sizes
  uint64_t data_start = 0;          // in the file

  uint64_t data_bytes() const;  // without the padding behind the last tensor
};

// Leaves the source behind the tensor headers. Of a regular file the total size is checked. No
// count makes it allocate before the bytes counted are there. Errors: exit 3.
Header read_header(ByteSource& source);

// Keys, tensor headers and padding: the bytes of the file up to the data.
std::string format_header(const GgufKeys& keys, const std::vector<TensorInfo>& tensors,
                          const std::string& subject);

// general.alignment of keys that are to be written, or the default.
uint64_t alignment_of(const GgufKeys& keys, const std::string& subject);

}  // namespace hone::gguf
