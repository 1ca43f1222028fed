// Holds a checkpoint's tensors against what its config.json promises.
#include <algorithm>
#include <unordered_map>

#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"
#include "libcommon/model/config.h"
#include "libcommon/model/names.h"
#include "libcommon/model/spec.h"
#include "libcommon/model/weights.h"

namespace hone {
namespace {

// Shape as the model sees it. Stored in parts or in blocks, a matrix is [out, in] in GPT-2 too.
std::vector<int64_t> expected_shape(const TensorSpec& tensor, bool out_in) {
  std::vector<int64_t> shape = tensor.shape;
  if (out_in && tensor.layout == StoredLayout::kInOut) std::reverse(shape.begin(), shape.end());
  return shape;
}

void check_shape(const CheckpointHeader& header, const StoredWeight& weight,
                 const TensorSpec& tensor, const std::string& subject) {
  const TensorInfo& payload = header.tensors[static_cast<size_t>(weight.payload)];
  const bool parts = weight.scale >= 0 || weight.index >= 0;
  const std::vector<int64_t> expected = expected_shape(tensor, parts || is_block(payload.type));
  const std::vector<int64_t> found =
      parts ? std::vector<int64_t>{weight.view.rows, weight.view.columns} : payload.shape;
  if (found == expected) return;
  throw Error(subject + ": tensor " + quote_name(tensor.name) + " has shape " + shape_text(found) +
              ", config.json makes it " + shape_text(expected));
}

}  // namespace

StoredNames names_of(const CheckpointHeader& header) {
  StoredNames names;
  names.aliases = header.aliases;
  for (const TensorInfo& tensor : header.tensors) names.names.push_back(tensor.name);
  return names;
}

Json config_of(const CheckpointHeader& header, const std::string& subject) {
  const auto file = header.files.find("config.json");
  if (file == header.files.end()) {
    throw Error(subject +
                ": has no config.json; is it one file of a directory? give the directory");
  }
  return parse_json(file->second, subject + ": config.json");
}

ModelSpec spec_from_checkpoint(const CheckpointHeader& header, const std::string& subject) {
  const Json config = config_of(header, subject);
  ModelSpec spec = build_spec(config, names_of(header), subject);
  const Architecture& architecture = *find_architecture(spec.architecture);
  std::unordered_map<std::string, const TensorSpec*> missing;
  for (const TensorSpec& tensor : spec.tensors) missing[tensor.name] = &tensor;
  for (const StoredWeight& weight : stored_weights(header, subject)) {
    const auto expected = missing.find(weight.name);
    if (expected != missing.end()) {
      check_shape(header, weight, *expected->second, subject);
      missing.erase(expected);
    } else if (!is_ignored(architecture, weight.name)) {
      throw Error(subject + ": tensor " + quote_name(weight.name) + " is unknown to model_type '" +
                  spec.architecture + "'; does config.json belong to these weights?");
    }
  }
  for (const TensorSpec& tensor : spec.tensors) {
    if (missing.count(tensor.name) == 0) continue;
    const bool head = tensor.role == Role::kHead;
    throw Error(subject + ": tensor " + quote_name(tensor.name) + " is missing" +
                (head ? ", and tie_word_embeddings is not true" : "") + "; incomplete download?");
  }
  return spec;
}

}  // namespace hone
