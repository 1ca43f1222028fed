// GGUF's keys against config.json and the tokenizer's files, in both directions.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>

#include "libcommon/io/gguf.h"
#include "libcommon/model/arch/arch.h"
#include "libcommon/model/spec.h"

namespace hone {

// What reading config.json's fields out of a GGUF file needs beside its keys.
struct GgufContents {
  const GgufKeys& keys;
  const std::unordered_map<std::string, const TensorInfo*>& tensors;  // by GGUF name
  std::string subject;
  bool tied = false;
};

// The architecture of general.architecture; refused by name where there is no table for it.
const Architecture& gguf_architecture(const GgufKeys& keys, const std::string& subject);

// config.json without RoPE scaling by divisors. Keys that change the computation and are not
// implemented are refused by name.
Json config_from_gguf(const GgufContents& contents, const Architecture& architecture);

// config.json's rope_scaling for a llama3 scaling.
Json llama3_scaling(const RopeSpec& rope);

// Keys that describe `spec`. Error where GGUF cannot express it.
GgufKeys keys_from_spec(const ModelSpec& spec, const Architecture& architecture,
                        const std::string& subject);

// tokenizer.* keys. Reading: no files where there is no vocabulary, or a fault with the reason
// where it makes no tokenizer. Writing: tokens are filled up to `vocab`, the embedding's rows, as
// llama.cpp wants it.
void read_tokenizer_keys(const GgufKeys& keys, const std::string& subject,
                         CheckpointHeader& header);
void add_tokenizer_keys(const std::map<std::string, std::string>& files, int64_t vocab,
                        const std::string& subject, GgufKeys& keys);

}  // namespace hone
