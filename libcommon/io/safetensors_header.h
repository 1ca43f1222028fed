// The header of a safetensors file: 8 bytes of length N, N bytes of JSON, then the data.
//
//   {"__metadata__": {"format": "pt"}, "a": {"dtype": "BF16", "shape": [2,2], "data_offsets":
//   [0,8]}}
//
// Everything the reference reader demands is demanded here (huggingface/safetensors, tensor.rs),
// and what its specification forbids but the reader overlooks: duplicate keys, unknown fields.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "libcommon/io/byte_source.h"
#include "libcommon/io/tensor_info.h"

namespace hone {

struct StoredTensor {
  TensorInfo info;
  uint64_t begin = 0;  // in the data, which starts behind the header
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<std::pair<std::string, std::string>> metadata;  // file order
  std::vector<StoredTensor> tensors;  // by offset: the first begins at 0, each where the last ended
  uint64_t data_start = 0;            // in the file

  uint64_t data_bytes() const { return tensors.empty() ? 0 : tensors.back().end; }
  const std::string* find_metadata(std::string_view key) const;
};

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the reference's MAX_HEADER_SIZE

// Reads it, leaving the source at the first data byte. Of a regular file the total size is checked,
// too. Errors: exit 3, one text for each rule.
SafetensorsHeader read_safetensors_header(ByteSource& source);

// The JSON alone.
SafetensorsHeader parse_safetensors_header(std::string_view json, const std::string& subject);

// Length and JSON, padded with spaces so that the data starts at a multiple of 64. Keys stand in
// the order of the offsets. Error: a name that is not UTF-8, or more than kMaxHeaderBytes.
std::string format_safetensors_header(const SafetensorsHeader& header, const std::string& subject);

// Appends a tensor behind the last one.
void append_tensor(SafetensorsHeader& header, TensorInfo tensor);

}  // namespace hone
