// "hone-stream 1": a safetensors file that carries a whole model through a pipe, front to back.
//
//   __metadata__   format = pt, hone.stream = 1, hone.producer = history, a line per tool,
//                  hone.file/<path> = text of a side file (UTF-8, at most 1 MiB),
//                  hone.types = {"name": {"type": "Q4_0", "shape": [...]}}: GGUF blocks inside U8,
//                  <alias> = <stored name>: tied weights, as Hugging Face's save_model notes them
//   hone.file/*    U8 [bytes]: the other side files, before any weight
//   weights        in execution order
//   hone.pad/<n>   U8 [< 64]: fillers, so that each of the above starts at a multiple of 64
//   hone.trailer   U8 [4096], last: JSON padded with spaces: XXH3-128 of all data bytes before it
//                  and the statistics that are known only at the end
#pragma once

#include <map>
#include <string>
#include <vector>

#include "libcommon/io/checkpoint.h"
#include "libcommon/io/safetensors_header.h"

namespace hone::stream {

inline constexpr std::string_view kReserved = "hone.";  // no weight's name begins so
inline constexpr std::string_view kFormatKey = "format";
inline constexpr std::string_view kVersionKey = "hone.stream";
inline constexpr std::string_view kVersion = "1";
inline constexpr std::string_view kHistoryKey = "hone.producer";
inline constexpr std::string_view kTypesKey = "hone.types";
inline constexpr std::string_view kFilePrefix = "hone.file/";
inline constexpr std::string_view kPadPrefix = "hone.pad/";
inline constexpr std::string_view kTrailer = "hone.trailer";
inline constexpr size_t kTrailerBytes = 4096;
inline constexpr size_t kLargestTextFile = size_t{1} << 20;   // larger ones travel as tensors
inline constexpr uint64_t kLargestFile = uint64_t{64} << 20;  // of any side file
inline constexpr uint64_t kAlignment = 64;

// The tensors of a safetensors file, sorted out by what they are.
struct Contents {
  bool is_stream = false;
  std::vector<StoredTensor> files;    // names without the prefix
  std::vector<StoredTensor> weights;  // block types restored
  std::vector<StoredTensor> trailer;  // one or none
};
// Errors: reserved names outside a stream, a version or reserved name that is not known, a file
// behind a weight, a missing trailer, hone.types that do not fit.
Contents sort_contents(const SafetensorsHeader& header, const std::string& subject);

// History, text files and aliases from the metadata.
void read_metadata(const SafetensorsHeader& header, CheckpointHeader& out,
                   const std::string& subject);

// Refuses side files above kLargestFile, absolute paths, "..", ".", empty parts, NUL, and the names
// that weights have.
void check_file(const std::string& path, uint64_t bytes, const std::string& subject);

// Adds what every safetensors output says: format, history, aliases.
void add_common_metadata(const CheckpointHeader& header, SafetensorsHeader& out);

// The whole header of a stream. Order of its tensors: files, weights, trailer, with fillers.
SafetensorsHeader plan(const CheckpointHeader& header);

// Whether a side file goes into the metadata or becomes a tensor.
bool travels_as_text(const std::string& content);

// U8 [rows, row_bytes] for a block type ([row_bytes] for one row of a 1-D tensor); others as is.
TensorInfo storage_of(const TensorInfo& tensor);

// Exactly kTrailerBytes. Statistics that do not fit are left out, and that is said in it.
std::string format_trailer(const std::string& hash, const Json& statistics);
// The statistics, when the hash is the one given; an Error otherwise.
Json check_trailer(const std::string& text, const std::string& hash, const std::string& subject);

}  // namespace hone::stream
