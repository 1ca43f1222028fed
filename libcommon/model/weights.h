// From stored tensors to matrices that a matmul can read.
//
// A Linear's matrix may be stored as one tensor or as several (compressed-tensors and ours):
//   P.weight                                        F32 F16 BF16 or a GGUF block type
//   P.weight (I8 | F8_E4M3), P.weight_scale         int-quantized, float-quantized
//   P.weight_packed, P.weight_scale, P.weight_shape [, P.weight_zero_point]     pack-quantized
//   any of these + P.weight_index                   2:4: the payload has columns/2, see
//   tensor_view.h
// Stored in several parts, or as GGUF blocks, a matrix is always [out, in], also in GPT-2; its
// weight_index is U8 [out, in/8].
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "libcommon/io/checkpoint.h"
#include "libcommon/model/spec.h"

namespace hone {

// One matrix as it lies in a checkpoint: indices into header.tensors, -1 where absent.
struct StoredWeight {
  std::string name;  // "P.weight" whatever the parts
  int64_t payload = -1;
  int64_t scale = -1;
  int64_t zero_point = -1;
  int64_t index = -1;  // 2:4 positions
  int64_t shape = -1;  // weight_shape
  WeightView view;  // no pointers; rows and columns are [out, in] where quantized, else as stored
};

// How config.json's quantization_config (compressed-tensors, or none) reads a module's tensors.
struct QuantizedFormat {
  int bits = 0;           // of the payload: 0 plain
  bool is_float = false;  // fp8
  bool packed = false;    // weight_packed
  int64_t group = 0;      // 0: per channel; -1: per tensor
  bool symmetric = true;
  bool quantize_input = false;
};
std::optional<QuantizedFormat> quantized_format(const Json& config, const std::string& module,
                                                const std::string& subject);

// All matrices and vectors of a checkpoint in its order, parts joined; refuses parts that do not
// fit together, and quantization methods other than compressed-tensors by name.
std::vector<StoredWeight> stored_weights(const CheckpointHeader& header,
                                         const std::string& subject);

// A model ready to run: matrices where they lie in a mapped file where possible, else in memory in
// their stored type. Q, K and V are separate views whatever the file says.
struct LayerWeights {
  const float* attention_norm = nullptr;
  const float* attention_norm_bias = nullptr;
  WeightView q, k, v, output;
  const float* q_bias = nullptr;
  const float* k_bias = nullptr;
  const float* v_bias = nullptr;
  const float* output_bias = nullptr;
  const float* q_norm = nullptr;
  const float* k_norm = nullptr;
  const float* ffn_norm = nullptr;
  const float* ffn_norm_bias = nullptr;
  WeightView gate, up, down;  // gate.rows == 0: not gated
  const float* up_bias = nullptr;
  const float* gate_bias = nullptr;
  const float* down_bias = nullptr;
};

class LoadedModel {
 public:
  virtual ~LoadedModel() = default;
  ModelSpec spec;
  std::map<std::string, std::string> files;  // config.json, tokenizer.json, ...
  std::string tokenizer_fault;               // as in CheckpointHeader
  std::vector<std::string> history;
  std::string subject;

  WeightView embedding;
  WeightView position_embedding;  // rows == 0: none
  const float* embedding_norm = nullptr;
  const float* embedding_norm_bias = nullptr;
  std::vector<LayerWeights> layers;
  const float* final_norm = nullptr;
  const float* final_norm_bias = nullptr;
  WeightView head;  // the embedding again when tied

  int64_t stored_bytes = 0;  // of all tensors
  int64_t parameters = 0;
  int64_t resident_bytes = 0;  // held in memory by us
  int64_t mapped_bytes = 0;    // used where the file is mapped
  double load_seconds = 0;
};

// Where the weights of a file lie. Those of a pipe or a random model are always in memory of ours,
// in huge pages.
enum class LoadMode : uint8_t {
  kAuto,  // kMap: a reader waits for the first token, and does not pay for one copy of all weights
  kMap,   // where the file is mapped: nothing is read before it is used; refused without a file
  kCopy,  // copied into huge pages, which are read faster, by several threads at once
  kRepack,  // kMap, and a session lays them out once more in the order in which they are multiplied
};
// "auto", "map", "copy", "repack"
std::optional<LoadMode> load_mode_from_name(std::string_view name);

struct LoadOptions {
  int64_t max_memory = 0;  // bytes; 0: no limit. Beyond it: Error exit 4 with the figures
  LoadMode mode = LoadMode::kAuto;
  int threads = 0;  // 0: physical cores in the affinity mask
};

// "mapped" or "in memory": where most of the weights lie.
const char* weights_place(const LoadedModel& model);

// Reads all of `reader`, which is kept alive by the model where its mapping is used.
std::unique_ptr<LoadedModel> load_model(std::unique_ptr<CheckpointReader> reader,
                                        const LoadOptions& options);

}  // namespace hone
