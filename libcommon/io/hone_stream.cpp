#include "libcommon/io/hone_stream.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "kernels/check.h"
#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/base/utf8.h"

namespace hone::stream {
namespace {

std::string tensor_text(const std::string& subject, std::string_view name) {
  return subject + ": tensor " + quote_name(name);
}

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

// An argument may hold a line break; a tool's line stays one line.
std::string join_lines(std::vector<std::string> lines) {
  std::string text;
  for (std::string& line : lines) {
    std::replace(line.begin(), line.end(), '\n', ' ');
    text += (text.empty() ? "" : "\n") + line;
  }
  return text;
}

// ---- Reading

bool read_version(const SafetensorsHeader& header, const std::string& subject) {
  const std::string* version = header.find_metadata(kVersionKey);
  if (version && *version != kVersion) {
    throw Error(subject + ": is a hone-stream of version " + quote_name(*version) +
                ", this program reads version 1; was it made by a newer hone?");
  }
  return version != nullptr;
}

void require_bytes(const StoredTensor& tensor, const std::string& subject) {
  if (tensor.info.type == DType::kU8 && tensor.info.shape.size() == 1) return;
  throw Error(tensor_text(subject, tensor.info.name) + " is not a row of U8");
}

void sort_reserved(StoredTensor tensor, Contents& out, const std::string& subject) {
  std::string& name = tensor.info.name;
  if (!out.is_stream) {
    throw Error(tensor_text(subject, name) + ": names that begin with 'hone.' are reserved");
  }
  require_bytes(tensor, subject);
  if (name == kTrailer) {
    if (tensor.info.shape[0] != static_cast<int64_t>(kTrailerBytes)) {
      throw Error(tensor_text(subject, name) + " is not of 4096 bytes");
    }
    out.trailer.push_back(std::move(tensor));
  } else if (name.starts_with(kFilePrefix)) {
    name.erase(0, kFilePrefix.size());
    if (!out.weights.empty()) {
      throw Error(subject + ": file " + quote_name(name) + " stands behind the first weight");
    }
    out.files.push_back(std::move(tensor));
  } else if (!name.starts_with(kPadPrefix)) {
    throw Error(tensor_text(subject, name) + " is of no kind that a hone-stream 1 holds");
  }
}

// {"type": "Q4_0", "shape": [...]} over U8 [rows, row_bytes].
TensorInfo restore_type(const TensorInfo& stored, const Json& entry, const std::string& subject) {
  const std::string start = tensor_text(subject, stored.name) + ": hone.types: ";
  const std::optional<DType> type = dtype_from_name(require_string(entry, "type", start));
  if (!type || !is_block(*type)) throw Error(start + "not a block type");
  const auto shape = entry.find("shape");
  if (shape == entry.end() || !shape->is_array()) throw Error(start + "no shape");
  TensorInfo restored = {stored.name, *type, {}};
  for (const Json& dimension : *shape) {
    if (!dimension.is_number_unsigned() || dimension.get<uint64_t>() > INT64_MAX) {
      throw Error(start + "shape holds something else than counts");
    }
    restored.shape.push_back(dimension.get<int64_t>());
  }
  validate_tensor(restored, subject);
  if (storage_of(restored) != stored) {
    throw Error(start + std::string(name(*type)) + " " + shape_text(restored.shape) +
                " is not stored as " + std::string(name(stored.type)) + " " +
                shape_text(stored.shape));
  }
  return restored;
}

void restore_types(const SafetensorsHeader& header, Contents& out, const std::string& subject) {
  const std::string* text = header.find_metadata(kTypesKey);
  if (!text) return;
  const std::string start = subject + ": hone.types";
  const Json types = parse_json(*text, start);
  if (!types.is_object()) throw Error(start + " is not a JSON object");
  std::unordered_map<std::string_view, StoredTensor*> by_name;
  for (StoredTensor& tensor : out.weights) by_name[tensor.info.name] = &tensor;
  for (const auto& [name, entry] : types.items()) {
    const auto found = by_name.find(name);
    if (found == by_name.end())
      throw Error(start + " names " + quote_name(name) + ", which is not here");
    TensorInfo restored = restore_type(found->second->info, entry, subject);
    found->second->info.type = restored.type;  // the name, the map's key, stays where it is
    found->second->info.shape = std::move(restored.shape);
  }
}

// ---- Writing

// A filler where the next tensor would not start at a multiple of 64.
void align(SafetensorsHeader& header, int& fillers) {
  const uint64_t rest = header.data_bytes() % kAlignment;
  if (rest == 0) return;
  append_tensor(header, {std::string(kPadPrefix) + std::to_string(fillers++),
                         DType::kU8,
                         {static_cast<int64_t>(kAlignment - rest)}});
}

void add_files(const CheckpointHeader& header, SafetensorsHeader& out, int& fillers) {
  for (const auto& [path, content] : header.files) {
    const std::string name = std::string(kFilePrefix) + path;
    if (travels_as_text(content)) {
      out.metadata.emplace_back(name, content);
    } else {
      align(out, fillers);
      append_tensor(out, {name, DType::kU8, {static_cast<int64_t>(content.size())}});
    }
  }
}

void add_types(const CheckpointHeader& header, SafetensorsHeader& out) {
  std::string json;
  for (const TensorInfo& tensor : header.tensors) {
    if (!is_block(tensor.type)) continue;
    json += json.empty() ? '{' : ',';
    const Json entry = {{"type", name(tensor.type)}, {"shape", tensor.shape}};
    json += Json(tensor.name).dump(-1, ' ', false, Json::error_handler_t::replace);
    json += ":" + entry.dump();
  }
  if (!json.empty()) out.metadata.emplace_back(kTypesKey, json + "}");
}

}  // namespace

Contents sort_contents(const SafetensorsHeader& header, const std::string& subject) {
  Contents out;
  out.is_stream = read_version(header, subject);
  for (const StoredTensor& tensor : header.tensors) {
    if (!out.trailer.empty()) {
      throw Error(tensor_text(subject, tensor.info.name) + " stands behind hone.trailer");
    }
    if (tensor.info.name.starts_with(kReserved)) {
      sort_reserved(tensor, out, subject);
    } else {
      out.weights.push_back(tensor);
    }
  }
  if (out.is_stream && out.trailer.empty())
    throw Error(subject + ": hone-stream without a trailer");
  restore_types(header, out, subject);
  return out;
}

void read_metadata(const SafetensorsHeader& header, CheckpointHeader& out,
                   const std::string& subject) {
  std::unordered_set<std::string_view> stored;
  for (const StoredTensor& tensor : header.tensors) stored.insert(tensor.info.name);
  for (const auto& [key, value] : header.metadata) {
    if (key == kHistoryKey) {
      out.history = split_lines(value);
    } else if (key.starts_with(kFilePrefix)) {
      const std::string path = key.substr(kFilePrefix.size());
      check_file(path, value.size(), subject);
      out.files[path] = value;
    } else if (!key.starts_with(kReserved) && key != kFormatKey && stored.contains(value) &&
               !stored.contains(key)) {
      out.aliases[key] = value;
    }
  }
}

void check_file(const std::string& path, uint64_t bytes, const std::string& subject) {
  const auto refuse = [&](const std::string& why) {
    throw Error(subject + ": side file " + quote_name(path) + ": " + why);
  };
  if (bytes > kLargestFile) refuse(std::to_string(bytes) + " bytes, at most 64 MiB travel");
  if (path.find('\0') != std::string::npos) refuse("NUL in its path");
  if (path.starts_with('/')) refuse("absolute path");
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string part = path.substr(begin, end - begin);
    if (part == "..") refuse("leads out of the model's directory");
    if (part.empty() || part == ".") refuse("not a plain relative path");
    begin = end + 1;
  }
  if (path.ends_with(".safetensors") || path.ends_with(".safetensors.index.json")) {
    refuse("that is a name for weights");
  }
}

void add_common_metadata(const CheckpointHeader& header, SafetensorsHeader& out) {
  out.metadata.emplace_back(kFormatKey, "pt");  // transformers refuses metadata without it
  if (!header.history.empty()) out.metadata.emplace_back(kHistoryKey, join_lines(header.history));
  std::unordered_set<std::string_view> stored;
  for (const TensorInfo& tensor : header.tensors) stored.insert(tensor.name);
  for (const auto& [alias, name] : header.aliases) {
    if (stored.contains(name)) out.metadata.emplace_back(alias, name);
  }
}

SafetensorsHeader plan(const CheckpointHeader& header) {
  SafetensorsHeader out;
  out.metadata.emplace_back(kVersionKey, kVersion);
  add_common_metadata(header, out);
  int fillers = 0;
  add_files(header, out, fillers);
  add_types(header, out);
  for (const TensorInfo& tensor : header.tensors) {
    CHECK(!tensor.name.starts_with(kReserved));
    align(out, fillers);
    append_tensor(out, storage_of(tensor));
  }
  align(out, fillers);
  append_tensor(out, {std::string(kTrailer), DType::kU8, {static_cast<int64_t>(kTrailerBytes)}});
  return out;
}

bool travels_as_text(const std::string& content) {
  return content.size() <= kLargestTextFile && is_utf8(content);
}

TensorInfo storage_of(const TensorInfo& tensor) {
  if (!is_block(tensor.type)) return tensor;
  const int64_t bytes = row_bytes(tensor.type, tensor.columns());
  if (tensor.shape.size() == 1) return {tensor.name, DType::kU8, {bytes}};
  return {tensor.name, DType::kU8, {tensor.rows(), bytes}};
}

std::string format_trailer(const std::string& hash, const Json& statistics) {
  Json trailer = {{"xxh3_128", hash}};
  if (!statistics.is_null()) trailer["statistics"] = statistics;
  std::string text = trailer.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kTrailerBytes) {
    log_warning("statistics of " + std::to_string(text.size()) +
                " bytes do not fit the stream's trailer");
    text = Json({{"xxh3_128", hash}, {"statistics_omitted", true}}).dump();
  }
  text.resize(kTrailerBytes, ' ');
  return text;
}

Json check_trailer(const std::string& text, const std::string& hash, const std::string& subject) {
  const std::string start = subject + ": hone.trailer";
  const Json trailer = parse_json(text, start);
  const std::string declared = require_string(trailer, "xxh3_128", start);
  if (declared != hash) {
    throw Error(subject + ": data has hash " + hash + ", its trailer says " + quote_name(declared) +
                "; altered or damaged on the way?");
  }
  const auto statistics = trailer.find("statistics");
  return statistics == trailer.end() ? Json() : *statistics;
}

}  // namespace hone::stream
