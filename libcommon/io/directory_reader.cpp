// A Hugging Face model directory: model.safetensors, or the shards that
// model.safetensors.index.json names, and the small files beside them.
#include <filesystem>
#include <map>
#include <set>
#include <unordered_map>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/base/utf8.h"
#include "libcommon/io/hone_stream.h"
#include "libcommon/io/model_files.h"
#include "libcommon/io/safetensors_reader.h"

namespace hone {
namespace {

namespace fs = std::filesystem;

bool exists(const std::string& path) {
  std::error_code failed;
  return fs::exists(path, failed);
}

using WeightMap = std::unordered_map<std::string, std::string>;  // tensor -> shard's file name

// A file of the directory: a pipe in its place would be waited for.
std::unique_ptr<ByteSource> open_regular(const std::string& path) {
  std::error_code failed;
  if (!fs::is_regular_file(path, failed)) throw Error(path + ": is not a regular file");
  return open_source(path);
}

std::string read_whole(const std::string& path) {
  const std::unique_ptr<ByteSource> source = open_regular(path);
  return read_growing(*source, source->size().value_or(stream::kLargestFile));
}

void load_side_files(const std::string& directory, CheckpointHeader& header) {
  for (const std::string& name : list_directory(directory)) {
    const std::string path = directory + "/" + name;
    std::error_code failed;
    if (!is_side_file(name) || !fs::is_regular_file(path, failed)) continue;
    if (fs::file_size(path, failed) > stream::kLargestFile) {
      log_warning(path + ": left out, larger than 64 MiB");
      continue;
    }
    header.files[name] = read_whole(path);
  }
}

[[noreturn]] void refuse_without_weights(const std::string& directory) {
  std::string why = "holds no model.safetensors and no model.safetensors.index.json";
  for (const std::string& name : list_directory(directory)) {
    if (name.starts_with("pytorch_model")) {
      why = "holds its weights as " + quote_name(name) +
            " only, a pickle, which may run code when loaded; convert it to safetensors";
      break;
    }
    if (name.ends_with(".gguf") || name.ends_with(".safetensors")) {
      why += "; give " + quote_name(name) + " itself?";
      break;
    }
  }
  throw Error(directory + ": " + why);
}

WeightMap read_index(const std::string& path) {
  const Json index = parse_json(read_whole(path), path);
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  if (!index.is_object() || map == index.end() || !map->is_object()) {
    throw Error(path + ": 'weight_map' is missing");
  }
  if (map->empty()) throw Error(path + ": 'weight_map' is empty");
  WeightMap weights;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string())
      throw Error(path + ": file of " + quote_name(tensor) + " is not a string");
    const auto& name = file.get_ref<const std::string&>();
    if (name.empty() || name == ".." || name == "." || name.find('/') != std::string::npos ||
        name.find('\0') != std::string::npos) {
      throw Error(path + ": " + quote_name(name) + " is not a plain file name");
    }
    weights.emplace(tensor, name);
  }
  return weights;
}

// Every tensor of the shard stands in the index, under this shard; counts them.
size_t check_shard(const SafetensorsHeader& header, const WeightMap& weights,
                   const std::string& directory, const std::string& shard) {
  for (const StoredTensor& tensor : header.tensors) {
    const auto entry = weights.find(tensor.info.name);
    if (entry == weights.end() || entry->second != shard) {
      throw Error(
          directory + "/" + shard + ": holds tensor " + quote_name(tensor.info.name) +
          ", which the index " +
          (entry == weights.end() ? "does not know" : "places in " + quote_name(entry->second)) +
          "; shards of two models?");
    }
  }
  return header.tensors.size();
}

[[noreturn]] void report_missing(const SafetensorsReader& reader, const WeightMap& weights,
                                 const std::string& directory) {
  std::set<std::string> present;
  for (const TensorInfo& tensor : reader.header().tensors) present.insert(tensor.name);
  for (const auto& [tensor, file] : std::map(weights.begin(), weights.end())) {
    if (present.contains(tensor)) continue;
    throw Error(directory + "/" + file + ": lacks tensor " + quote_name(tensor) +
                ", which the index places there; shards of two models?");
  }
  throw Error(directory + ": shards and index differ");
}

// Metadata of one file; of several shards the first one's history counts.
void merge_metadata(const SafetensorsHeader& shard, CheckpointHeader& header,
                    const std::string& subject) {
  CheckpointHeader noted;
  stream::read_metadata(shard, noted, subject);
  if (header.history.empty()) header.history = std::move(noted.history);
  header.aliases.merge(noted.aliases);
}

void open_shards(SafetensorsReader& reader, const std::string& directory) {
  const WeightMap weights = read_index(directory + "/" + kIndexFile);
  std::set<std::string> shards;
  for (const auto& [tensor, file] : weights) shards.insert(file);
  size_t found = 0;
  for (const std::string& shard : shards) {
    const std::string path = directory + "/" + shard;
    if (!exists(path)) {
      throw Error(path + ": is missing, the index names it; incomplete download?");
    }
    const SafetensorsHeader header = reader.add_shard(open_regular(path));
    found += check_shard(header, weights, directory, shard);
    merge_metadata(header, reader.mutable_header(), path);
  }
  if (found != weights.size()) report_missing(reader, weights, directory);
}

// An alias that one shard notes may be stored in another.
void drop_stored_aliases(CheckpointHeader& header) {
  for (const TensorInfo& tensor : header.tensors) header.aliases.erase(tensor.name);
}

}  // namespace

std::unique_ptr<CheckpointReader> open_directory(const std::string& path) {
  auto reader = std::make_unique<SafetensorsReader>(path);
  const std::string single = path + "/" + kWeightsFile;
  if (exists(single)) {
    merge_metadata(reader->add_shard(open_regular(single)), reader->mutable_header(), single);
  } else if (exists(path + "/" + kIndexFile)) {
    open_shards(*reader, path);
  } else {
    refuse_without_weights(path);
  }
  drop_stored_aliases(reader->mutable_header());
  load_side_files(path, reader->mutable_header());
  return reader;
}

}  // namespace hone
